/// Small packed models with random numbers.
module NormFree.Tests.Inference.Models

open NormFree.Data
open NormFree.Inference.Model
open NormFree.Tests.Kernels

let private floats (stream: RandomStream) low high count =
    Array.init count (fun _ -> float32 (stream.Between(low, high)))

/// A binary layer whose padding keeps the size at stride 1.
let binary (stream: RandomStream) key inputs outputs kernel stride (shortcut: PackedShortcut) =
    PackedBinaryLayer(
        key,
        inputs,
        outputs,
        kernel,
        stride,
        kernel / 2,
        floats stream -0.5 0.5 inputs,
        Support.signs (stream.Bits()) (outputs * kernel * kernel) inputs,
        floats stream -0.1 0.1 outputs,
        floats stream -0.5 0.5 outputs,
        floats stream 0.0 0.5 outputs,
        floats stream -0.5 0.5 outputs,
        shortcut
    )

/// Average pooling over 2×2 pixels, with a projection if the number of channels changes.
let pooled (stream: RandomStream) inputs outputs =
    let projection =
        if inputs = outputs then
            null
        else
            BinaryProjection(Support.signs (stream.Bits()) outputs inputs, floats stream -0.3 0.3 outputs)

    AveragePoolShortcut(2, 0.25f, projection)

/// A model of three classes.
let model side (layers: PackedLayer list) (notes: (string * string) list) =
    PackedModel(
        Architecture = "by-hand",
        Height = side,
        Width = side,
        Mean = [| 0.5f; 0.25f; 0.125f |],
        Deviation = [| 1.0f; 0.5f; 0.25f |],
        Preprocessing =
            [| PreprocessingStep(PreprocessingKind.Cover, side + 2, side + 2)
               PreprocessingStep(PreprocessingKind.CentreCrop, side, side) |],
        Classes = [| "cat"; "dog"; "naïve \"bird\"" |],
        Layers = List.toArray layers,
        Notes = (readOnlyDict notes)
    )

/// A network for side×side RGB images: a stem with a max-pool, the given layers and a classifier of three classes.
let network (stream: RandomStream) side first (layers: PackedLayer list) channels =
    let stem =
        PackedConvolution("stem", 3, first, 3, 1, 1, floats stream -0.3 0.3 (27 * first), floats stream -0.3 0.3 first)

    let classifier =
        PackedClassifier("fc", channels, 3, floats stream -0.3 0.3 (3 * channels), floats stream -0.3 0.3 3)

    let layers: PackedLayer list = [ stem; PackedMaxPool("pool", 3, 2, 1); yield! layers; classifier ]

    model side layers [ "spec", "{}" ]

/// Every kind of layer and shortcut, with channels that are not multiples of 64: 8×8 images, maps down to 1×1.
let tiny =
    let stream = RandomStream.OfSeed 5UL

    network
        stream
        8
        5
        [ binary stream "a" 5 5 3 1 (IdentityShortcut())
          binary stream "b" 5 10 1 1 (IdentityShortcut())
          binary stream "c" 10 70 3 2 (pooled stream 10 70)
          binary stream "d" 70 70 3 2 (pooled stream 70 70) ]
        70

/// Every kind of projection that version 1 of the format lacks.
let projected =
    let stream = RandomStream.OfSeed 6UL

    let zeroMean = BinaryProjection(Support.signs (stream.Bits()) 70 5, floats stream -0.3 0.3 70, true)

    network
        stream
        8
        5
        [ binary stream "zero" 5 70 3 2 (AveragePoolShortcut(2, 0.25f, zeroMean))
          binary stream "real" 70 9 3 2 (AveragePoolShortcut(2, 0.25f, RealProjection(floats stream -0.3 0.3 (9 * 70))))
          binary stream "none" 9 9 1 1 (AveragePoolShortcut(1, 1.0f, null)) ]
        9

/// Every kind of layer and shortcut that version 1 of the format lacks, for 8×8 RGB images.
let general =
    let stream = RandomStream.OfSeed 7UL
    let numbers count = floats stream -0.4 0.4 count

    let affine key channels low high : PackedLayer =
        PackedAffine(key, channels, numbers channels, numbers channels, numbers channels, low, high)

    let pooled projection = AveragePoolShortcut(2, 0.25f, projection)

    let layers: PackedLayer list =
        [ PackedConvolution("stem", 3, 6, 3, 1, 1, numbers (27 * 6), numbers 6)
          PackedConvolution("depth", 6, 6, 3, 1, 1, numbers (9 * 6), numbers 6, 6)
          affine "act" 6 0.0f infinityf
          binary stream "a" 6 6 3 1 (NoShortcut())
          PackedAdd("sum", "a", null)
          binary stream "dense" 6 5 3 1 (ConcatenatedShortcut())
          PackedAveragePool("pool", 2)
          PackedAdd("down", "depth", pooled (BinaryProjection(Support.signs (stream.Bits()) 11 6, numbers 11)))
          PackedAdd("real", "pool", pooled (RealProjection(numbers (11 * 11))))
          PackedFlatten "flat"
          binary stream "mlp" 176 7 1 1 (NoShortcut())
          affine "clip" 7 -1.0f 1.0f
          PackedClassifier("fc", 7, 3, numbers 21, numbers 3) ]

    model 8 layers []

/// The network of docs/packed-format.md: grey images of 2×2 pixels, three channels, two classes.
let documented =
    let layers: PackedLayer list =
        [ PackedConvolution("stem", 1, 3, 1, 1, 0, [| 1.0f; -1.0f; 0.5f |], [| 0.0f; 0.25f; 0.0f |])
          PackedBinaryLayer(
              "layer",
              3,
              3,
              1,
              1,
              0,
              [| -0.5f; 0.0f; infinityf |],
              [| 0b101UL; 0b011UL; 0b110UL |],
              [| 0.5f; 0.25f; -0.125f |],
              [| 0.0f; 1.0f; -1.0f |],
              [| 0.25f; 0.25f; 0.25f |],
              [| 0.0f; 0.0f; 0.5f |],
              IdentityShortcut()
          )
          PackedClassifier("fc", 3, 2, [| 1.0f; 0.0f; -1.0f; 0.0f; 1.0f; 2.0f |], [| 0.5f; -0.5f |]) ]

    PackedModel(
        Architecture = "example",
        Height = 2,
        Width = 2,
        Mean = [| 0.5f |],
        Deviation = [| 0.25f |],
        Classes = [| "no"; "yes" |],
        Layers = List.toArray layers
    )

/// A network that takes half a second or more for each image of 256×256 pixels.
let slow =
    let pool key : PackedLayer = PackedMaxPool(key, 63, 1, 31)
    let classifier = PackedClassifier("fc", 3, 3, Array.zeroCreate 9, Array.zeroCreate 3)
    model 256 [ pool "pool1"; pool "pool2"; classifier ] []
