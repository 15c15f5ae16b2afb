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
