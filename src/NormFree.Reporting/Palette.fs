namespace NormFree.Reporting

open OxyPlot

/// The colours of charts.
module internal Palette =
    let private hex (code: uint) = OxyColor.FromUInt32(0xff000000u ||| code)
    let ink = hex 0x1f2328u
    let quiet = hex 0x5a626bu
    let grid = hex 0xe3e6eau
    let paper = hex 0xfffffeu

    /// The colour-blind-safe palette of Okabe and Ito without yellow and black, which vanish on a light or dark background.
    let curves = [| 0x0072b2u; 0xd55e00u; 0x009e73u; 0xcc79a7u; 0xe69f00u; 0x56b4e9u |] |> Array.map hex

    /// The CSS variable of each colour.
    let variables =
        [ ink, "--ink"
          quiet, "--quiet"
          grid, "--grid"
          paper, "--paper"
          for i, colour in Array.indexed curves do
              colour, $"--curve-{i}" ]
