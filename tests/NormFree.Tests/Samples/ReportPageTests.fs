/// A report in headless Chromium, at the widths of a screen, a tablet and a phone, light and dark.
module NormFree.Tests.Samples.ReportPageTests

open System
open System.IO
open Expecto
open NormFree.Reporting
open NormFree.Tests.Data.Support
open NormFree.Tests.Reporting
open NormFree.Tests.Samples.Chromium

/// Runs of different length, one of them of a single stage.
let private runs =
    let none = Samples.run "none" 4 0.7

    let stage1 =
        { none with Epochs = none.Epochs |> List.filter (fun epoch -> epoch.Stage = "activations") }

    [ Samples.run "bn-free" 2 0.9; Samples.run "batch-norm" 7 0.92; stage1 ]

/// The sizes in pixels of the texts of all charts that are shown.
let private textSizes =
    "[...document.querySelectorAll('figure svg')].filter(svg => svg.getClientRects().length).flatMap(svg => {"
    + "const scale = svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;"
    + "return [...svg.querySelectorAll('text')].map(text => scale * parseFloat(getComputedStyle(text).fontSize)) })"

/// The frames of tables that are wider than the frame but do not scroll, or that leave the page.
let private badFrames =
    "[...document.querySelectorAll('.scroll')].filter(frame => frame.getClientRects().length).filter(frame =>"
    + "frame.getBoundingClientRect().right > innerWidth + 1 ||"
    + "(frame.scrollWidth > frame.clientWidth + 1 && getComputedStyle(frame).overflowX !== 'auto')).length"

let private numbers (page: Page) expression =
    [ for value in (nonNull (page.Evaluate expression)).AsArray() -> float (nonNull value) ]

let private brightness (page: Page) =
    numbers page "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"
    |> List.average

let tests =
    test "a report fits screens of 1280, 768 and 360 pixels, light and dark" {
        requireChromium ()
        use folder = new TempFolder()
        let file = folder.File "report.html"
        Report.write file "Three networks" (runs |> List.map Samples.full)
        use page = new Page(folder.File "profile")

        for width in [ 1280; 768; 360 ] do
            for dark in [ false; true ] do
                page.Open((Uri file).AbsoluteUri, width, 900, dark)
                let place = $"{width} pixels, dark {dark}"
                Expect.equal (brightness page < 100.0) dark place

                Expect.isLessThanOrEqual
                    (numbers page "[document.documentElement.scrollWidth]").Head
                    (float width)
                    place

                Expect.equal (numbers page $"[{badFrames}]") [ 0.0 ] $"tables, {place}"
                let sizes = numbers page textSizes
                Expect.isGreaterThan sizes.Length 20 $"texts, {place}"
                Expect.isGreaterThanOrEqual (List.min sizes) 7.5 $"the smallest text, {place}"
    }
