/// Convolution shapes for kernel tests: a matrix that covers every tail, and random shapes.
module NormFree.Tests.Kernels.Shapes

open System
open FsCheck.FSharp
open NormFree.Data
open NormFree.Kernels.Convolutions

/// Sizes around multiples of a table (4), a half word (16), a word (32) and a block of columns (64).
let private channels =
    [ 1; 3; 4; 5; 8; 9; 16; 16 + 1; 32 - 1; 32; 32 + 1; 64; 64 + 1; 64 + 32; 128 + 3 ]

let private outputs = [ 128 + 3; 1; 64 + 32; 3; 16 + 1; 64; 4; 32; 64 + 1; 32 - 1; 32 + 1 ]
let private kernels = [ 1, 1; 3, 3; 5, 5; 2, 3 ]
let private strides = [ 1, 1; 2, 2; 2, 3 ]
let private paddings = [ 0; 1; 2 ]
let private maps = [ 1, 1; 2, 2; 3, 4; 7, 6; 9, 5; 1, 8; 6, 1 ]
let private batches = [ 1; 2; 3 ]

let private fits (shape: ConvolutionShape) =
    shape.Height + 2 * shape.PadY >= shape.KernelHeight
    && shape.Width + 2 * shape.PadX >= shape.KernelWidth

/// Every n-th case if NORMFREE_TEST_EVERY is n, for emulators; all of them otherwise.
let everyNth cases =
    match Int32.TryParse(Environment.GetEnvironmentVariable "NORMFREE_TEST_EVERY") with
    | true, n when n > 1 -> cases |> List.indexed |> List.filter (fun (i, _) -> i % n = 0) |> List.map snd
    | _ -> cases

/// All combinations of channels, kernel, stride and padding; outputs, maps and batches alternate.
let matrix =
    let layers = List.allPairs (List.allPairs channels kernels) (List.allPairs strides paddings) |> everyNth

    [ for i, ((c, (kh, kw)), ((sy, sx), pad)) in List.indexed layers do
          let o = outputs[i % outputs.Length]
          let of' (h, w) = ConvolutionShape(batches[i % batches.Length], h, w, c, o, kh, kw, sy, sx, pad, pad)

          // Skips maps that are smaller than the filter.
          yield! Seq.init maps.Length (fun j -> of' maps[(i + j) % maps.Length]) |> Seq.tryFind fits |> Option.toList ]

/// Random shapes, including padding wider than the filter.
let random mostInputs mostOutputs =
    gen {
        let! kernel = Gen.choose (1, 5) |> Gen.two
        let! stride = Gen.choose (1, 3) |> Gen.two
        let! pad = Gen.choose (0, 3) |> Gen.two
        let! height = Gen.choose (max 1 (fst kernel - 2 * fst pad), 9)
        let! width = Gen.choose (max 1 (snd kernel - 2 * snd pad), 9)
        let! batch = Gen.choose (1, 3)
        let! input = Gen.choose (1, mostInputs)
        let! output = Gen.choose (1, mostOutputs)
        let (kh, kw), (sy, sx), (py, px) = kernel, stride, pad
        return ConvolutionShape(batch, height, width, input, output, kh, kw, sy, sx, py, px)
    }

/// The taps at which an output pixel reads an input pixel, with the index of that pixel in its image.
let taps (shape: ConvolutionShape) y x =
    [| for i in 0 .. shape.KernelHeight - 1 do
           for j in 0 .. shape.KernelWidth - 1 do
               let row, column = y * shape.StrideY + i - shape.PadY, x * shape.StrideX + j - shape.PadX

               if row >= 0 && row < shape.Height && column >= 0 && column < shape.Width then
                   struct (i * shape.KernelWidth + j, row * shape.Width + column) |]

/// All reads of a batch: output pixel, tap, input pixel; pixels are indices in the batch.
let reads (shape: ConvolutionShape) =
    [| for image in 0 .. shape.Batch - 1 do
           for y in 0 .. shape.OutHeight - 1 do
               for x in 0 .. shape.OutWidth - 1 do
                   for struct (tap, pixel) in taps shape y x do
                       struct ((image * shape.OutHeight + y) * shape.OutWidth + x,
                               tap,
                               image * shape.Height * shape.Width + pixel) |]

/// Random numbers of either sign, some of them zero; the same seed gives the same numbers.
let reals seed count =
    let stream = RandomStream.OfKeys(5L, seed)
    Array.init count (fun _ -> if stream.Below 16 = 0 then 0.0f else float32 (stream.Between(-1.5, 1.5)))
