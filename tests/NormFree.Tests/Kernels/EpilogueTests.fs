/// The epilogue of packed convolutions against plain arithmetic, and the encodings of signs.
module NormFree.Tests.Kernels.EpilogueTests

#nowarn "9" // Kernels work on addresses.

open System
open Expecto
open FsCheck.FSharp
open Microsoft.FSharp.NativeInterop
open NormFree.Kernels.Convolutions
open NormFree.Kernels.Packed
open NormFree.Tests.Kernels.Support

/// Sizes of one image's map and its shortcut; pixels are split at <c>Cut</c> into two ranges.
type private Case =
    { Height: int
      Width: int
      Channels: int
      Repeats: int
      Padding: int
      Encoding: SignEncoding
      Cut: int
      Seed: int }

let private cases =
    gen {
        let! height = Gen.choose (1, 5)
        let! width = Gen.choose (1, 5)
        let! repeats = Gen.elements [ 1; 1; 2; 3 ]
        // Shortcuts of real networks repeat multiples of 8 channels; vectors of 16 do not fit 8 and 24.
        let! channels = Gen.frequency [ 3, Gen.choose (1, 200); 1, Gen.elements [ 8; 16; 24; 32; 64; 128 ] ]
        let! padding = Gen.choose (0, 2)
        let! encoding = Gen.elements (Enum.GetValues<SignEncoding>())
        let! cut = Gen.choose (0, height * width)
        let! seed = Gen.choose (0, 1_000_000)

        return
            { Height = height
              Width = width
              Channels = channels * repeats
              Repeats = repeats
              Padding = padding
              Encoding = encoding
              Cut = cut
              Seed = seed }
    }

/// Multiples of 1/4, whose products and short sums are exact, so that all instruction sets agree.
let private quarters (random: Random) count = Array.init count (fun _ -> float32 (random.Next(-40, 41)) / 4.0f)

let private layout case = SignLayout(case.Encoding, case.Height, case.Width, case.Channels, case.Padding, case.Padding)

type private Parameters =
    { Counts: int[]
      Scale: float32[]
      Bias: float32[]
      Slope: float32[]
      Shift: float32[]
      Shortcut: float32[]
      Threshold: float32[] }

let private parametersOf case =
    let random = Random case.Seed
    let pixels = case.Height * case.Width
    let channels () = quarters random case.Channels

    { Counts = Array.init (pixels * case.Channels) (fun _ -> random.Next(-50, 51))
      Scale = channels ()
      Bias = channels ()
      Slope = channels ()
      Shift = channels ()
      Shortcut = quarters random (pixels * case.Channels / case.Repeats)
      Threshold = channels () |> Array.mapi (fun i t -> if i % 11 = 3 then Single.PositiveInfinity else t) }

let private expected case n =
    let shortcuts = case.Channels / case.Repeats

    n.Counts
    |> Array.mapi (fun i count ->
        let pixel, channel = i / case.Channels, i % case.Channels

        let z =
            n.Scale[channel] * float32 count
            + n.Bias[channel]
            + n.Shortcut[(pixel * shortcuts + channel % shortcuts) % n.Shortcut.Length]

        (if z > 0.0f then z else n.Slope[channel] * z) + n.Shift[channel])

/// Packed signs: +1 where a value reaches its threshold.
let private signsOf case n (values: float32[]) =
    values |> Array.mapi (fun i value -> value >= n.Threshold[i % case.Channels]) |> pack case.Channels

/// Two ranges of pixels times two ranges of filters, split at a multiple of 64.
let private ranges case =
    let filters = case.Channels / 2 / 64 * 64

    [ for first, last in [ 0, case.Cut; case.Cut, case.Height * case.Width ] do
          for from, until in [ 0, filters; filters, case.Channels ] do
              OutputRange(first, last - first, from, until - from) ]

let private counts case n (range: OutputRange) =
    [| for pixel in range.FirstPixel .. range.FirstPixel + range.Pixels - 1 do
           yield! Array.sub n.Counts (pixel * case.Channels + range.FirstFilter) range.Filters |]

let private decode (map: SignMap) case =
    use words = new Guarded<uint64>(case.Height * case.Width * ((case.Channels + 63) / 64), 0)
    map.Decode words.Pointer
    words.Check()
    words.Values

/// Results start at channel <c>before</c> of a larger map.
let private apply set before case n =
    use scale = new Guarded<float32>(n.Scale)
    use bias = new Guarded<float32>(n.Bias)
    use slope = new Guarded<float32>(n.Slope)
    use shift = new Guarded<float32>(n.Shift)
    use shortcut = new Guarded<float32>(n.Shortcut)
    use threshold = new Guarded<float32>(n.Threshold)
    use result = new Guarded<float32>(n.Counts.Length + case.Height * case.Width * before, 4)
    use memory = new Guarded<byte>(int (layout case).Bytes, 0)
    let map = SignMap(layout case, memory.Pointer)

    let mutable parameters =
        EpilogueParameters(case.Channels, scale.Pointer, bias.Pointer, slope.Pointer, shift.Pointer)

    let channels = case.Channels / case.Repeats
    // A shortcut of one pixel is added to all pixels.
    let step = if n.Shortcut.Length = channels then 0 else channels
    let mutable added = EpilogueShortcut(shortcut.Pointer, channels, step)

    for range in ranges case do
        use counts = new Guarded<int>(counts case n range)
        let mutable range = range

        ResidualEpilogue
            .For(set, case.Encoding)
            .Apply(
                &parameters,
                &range,
                counts.Pointer,
                &added,
                NativePtr.add result.Pointer before,
                case.Channels + before,
                threshold.Pointer,
                map
            )

    result.Check()
    memory.Check()

    let values =
        result.Values |> Array.chunkBySize (case.Channels + before) |> Array.collect (Array.skip before)

    values, decode map case

let private packMap set case n (values: float32[]) =
    use source = new Guarded<float32>(values)
    use threshold = new Guarded<float32>(n.Threshold)
    use memory = new Guarded<byte>(int (layout case).Bytes, 0)
    let map = SignMap(layout case, memory.Pointer)
    let epilogue = ResidualEpilogue.For(set, case.Encoding)
    epilogue.Pack(0, case.Cut, source.Pointer, threshold.Pointer, map)
    epilogue.Pack(case.Cut, case.Height * case.Width - case.Cut, source.Pointer, threshold.Pointer, map)
    memory.Check()
    decode map case

let private checkAll property =
    forAll 100 cases (fun case ->
        let n = parametersOf case
        property case n (expected case n))

let tests =
    testList
        "packed epilogue"
        [ testEverySet "values and signs equal plain arithmetic" (fun set ->
              checkAll (fun case n values ->
                  let actual, signs = apply set 0 case n
                  Expect.sequenceEqual actual values $"values of {case}"
                  Expect.sequenceEqual signs (signsOf case n values) $"signs of {case}"))

          testEverySet "all pixels may add the same values, and results may be a part of a larger map" (fun set ->
              forAll 100 cases (fun case ->
                  let n = parametersOf case

                  let n = { n with Shortcut = Array.truncate (case.Channels / case.Repeats) n.Shortcut }

                  let values = expected case n
                  let actual, signs = apply set (1 + case.Seed % 70) case n
                  Expect.sequenceEqual actual values $"values of {case}"
                  Expect.sequenceEqual signs (signsOf case n values) $"signs of {case}"))

          testEverySet "Pack writes the signs of a float map" (fun set ->
              checkAll (fun case n values ->
                  Expect.sequenceEqual (packMap set case n values) (signsOf case n values) $"signs of {case}"))

          test "Decode reverses Encode in every encoding, with and without padding" {
              forAll 300 cases (fun case ->
                  let words = signs (uint64 case.Seed) (case.Height * case.Width) case.Channels
                  use source = new Guarded<uint64>(words)
                  use memory = new Guarded<byte>(int (layout case).Bytes, 0)
                  let map = SignMap(layout case, memory.Pointer)
                  map.Encode source.Pointer
                  memory.Check()
                  Expect.sequenceEqual (decode map case) words $"{case}")
          } ]
