/// The packed engine's binary convolutions equal the reference implementation exactly.
module NormFree.Tests.Kernels.PackedFiltersTests

#nowarn "9" // Kernels work on addresses.

open Expecto
open FsCheck.FSharp
open Microsoft.FSharp.NativeInterop
open NormFree.Kernels.Convolutions
open NormFree.Kernels.Memory
open NormFree.Kernels.Packed
open NormFree.Kernels.Simd
open NormFree.Tests.Kernels.BinaryCases
open NormFree.Tests.Kernels.Support

/// Parts of an image's output: two ranges of pixels times each block of filters.
let private ranges (filters: PackedFilters) case =
    let shape = case.Shape
    let pixels = shape.OutHeight * shape.OutWidth
    let cut = case.Cut * shape.OutWidth

    [ for first, last in [ 0, cut; cut, pixels ] do
          for from, until in filters.Blocks.ToArray() |> Array.pairwise do
              OutputRange(first, last - first, from, until - from) ]

let private product (filters: PackedFilters) (map: SignMap) (range: OutputRange) =
    use counts = new Guarded<int>(range.Pixels * range.Filters, 4)
    let mutable range = range
    filters.Convolve(map, &range, Scratch.OfThread filters.ScratchBytes, counts.Pointer)
    counts.Check()
    counts.Values

/// The result of an image, assembled from the parts.
let private image (filters: PackedFilters) case (words: nativeptr<uint64>) =
    let shape = case.Shape
    let layout = filters.Layout(shape.Height, shape.Width)
    use memory = new Guarded<byte>(int layout.Bytes, 0)
    let map = SignMap(layout, memory.Pointer)
    filters.FillPadding map
    map.Encode words
    let result = Array.zeroCreate (shape.OutHeight * shape.OutWidth * shape.Out)

    for range in ranges filters case do
        let part = product filters map range

        for pixel in 0 .. range.Pixels - 1 do
            System.Array.Copy(
                part,
                pixel * range.Filters,
                result,
                (range.FirstPixel + pixel) * shape.Out + range.FirstFilter,
                range.Filters
            )

    memory.Check()
    result

let private actual set case =
    let activations, signs = inputs case
    use activations = new Guarded<uint64>(activations)
    use signs = new Guarded<uint64>(signs)
    let mutable shape = case.Shape
    use filters = PackedFilters.Create(set, &shape, signs.Pointer, case.Padding)
    let wordsOfImage = shape.Height * shape.Width * ((shape.In + 63) / 64)

    [| for i in 0 .. shape.Batch - 1 -> image filters case (NativePtr.add activations.Pointer (i * wordsOfImage)) |]
    |> Array.concat

/// Few pixels and many filters, for every size of blocks.
let private wide =
    gen {
        let! output = Gen.choose (1, 600)
        let! channels = Gen.choose (1, 150)
        let! kernel = Gen.elements [ 1; 3 ]
        let! side = Gen.choose (1, 4)
        let! seed = Gen.choose (0, 1_000_000)

        return
            { case (shape (1, side, side, channels, output, kernel, kernel / 2)) with
                Cut = 0
                Seed = uint64 seed }
    }

let private equalReference set count cases =
    forAll count cases (fun case -> agrees case (actual set case) (expected case))

/// Rows of signs that are all +1.
let private all rows channels = pack channels (Array.create (rows * channels) true)

/// Kernels and channels at the limits of byte sums and 16-bit sums.
let private extremes =
    List.allPairs [ 1; 3; 5 ] [ 62; 64; 126; 252; 254; 256; 512 ]
    @ [ 3, 3072; 3, 7280; 3, 7282; 5, 3072; 1, 65534; 1, 65536 ]

let private encodingOf set kernel channels =
    let mutable shape = shape (1, 3, 3, channels, 1, kernel, kernel / 2)
    use signs = new Guarded<uint64>(signs 1UL (kernel * kernel) channels)
    use filters = PackedFilters.Create(set, &shape, signs.Pointer)
    filters.Layout(3, 3).Encoding

let tests =
    testList
        "packed filters"
        [ testEverySet "equal the reference on Larq's test matrix" (fun set ->
              for case, expected in Matrix.cases.Value do
                  agrees case (actual set case) expected)

          testEverySet "equal the reference on random shapes, including padding wider than the filter" (fun set ->
              equalReference set 60 random)

          testEverySet "equal the reference for any number of filters" (fun set -> equalReference set 40 wide)

          testEverySet "the largest and smallest sums do not overflow: all signs equal, all signs opposite" (fun set ->
              for kernel, channels in extremes do
                  let mutable shape = shape (1, kernel, kernel, channels, 3, kernel, kernel / 2)
                  let rows = 3 * kernel * kernel
                  use plus = new Guarded<uint64>(all rows channels)
                  use minus = new Guarded<uint64>(Array.zeroCreate (rows * ((channels + 63) / 64)))

                  for signs, sum in [ plus, channels; minus, -channels ] do
                      use filters = PackedFilters.Create(set, &shape, signs.Pointer)
                      let numbers = image filters { case shape with Cut = 0 } plus.Pointer
                      let middle = kernel * kernel / 2 * 3
                      Expect.equal numbers[middle] (kernel * kernel * sum) $"{kernel}×{kernel}, {channels} channels")

          testEverySet "even numbers of channels use lookups" (fun set ->
              let encoding =
                  match set with
                  | InstructionSet.Avx512 when System.Runtime.Intrinsics.X86.Avx512Vbmi.IsSupported ->
                      SignEncoding.SixBits
                  | InstructionSet.Avx2 -> SignEncoding.FourBits
                  | _ -> SignEncoding.Words

              Expect.equal (encodingOf set 3 64) encoding "lookups"
              Expect.equal (encodingOf set 1 65534) encoding "half of the result is at most 32767"
              Expect.equal (encodingOf set 1 65536) SignEncoding.Words "half of the result exceeds 16 bits"
              Expect.equal (encodingOf set 3 63) SignEncoding.Words "an odd number of padding bits does not cancel") ]
