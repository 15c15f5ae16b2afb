namespace NormFree.Packing

open System
open System.Threading
open NormFree.Inference
open NormFree.Inference.Model
open NormFree.Kernels.Bits
open NormFree.Networks
open NormFree.Runs

/// <summary>A map of one image, height×width×channels.</summary>
type PackedMap = { Values: float32[]; Height: int; Width: int }

/// <summary>Runs a packed network on one image: the packed engine, or another implementation of the format.</summary>
/// <remarks>Maps are height×width×channels, channels last.</remarks>
type PackedRunner =
    {
        /// A layer's output for a map of height×width pixels, and the signs of its input: pixels × ⌈In/64⌉ words for binary layers, else none.
        RunLayer: int -> float32[] -> int -> int -> float32[] * uint64[]
        /// The sum of an addition for its input and the input of the earlier layer.
        RunAdd: int -> PackedMap -> PackedMap -> float32[]
        /// Logits of an image of 3×height×width values.
        Run: float32[] -> int -> int -> float32[]
    }

[<RequireQualifiedAccess>]
module PackedRunner =

    let private runLayer (network: PackedNetwork) number (x: float32[]) height width =
        let layer = network.Model.Layers[number]
        let result = MapSize(height, width, x.Length / (height * width)).After layer
        let values = Array.zeroCreate (result.Height * result.Width * result.Channels)

        let signs =
            match layer with
            | :? PackedBinaryLayer as binary -> Array.zeroCreate (height * width * SignPacking.Words binary.In)
            | _ -> [||]

        network.RunLayer(number, ReadOnlySpan x, height, width, Span values, Span signs)
        values, signs

    let private runAdd (network: PackedNetwork) number (x: PackedMap) (shortcut: PackedMap) =
        let values = Array.zeroCreate x.Values.Length

        network.RunLayer(
            number,
            ReadOnlySpan x.Values,
            x.Height,
            x.Width,
            ReadOnlySpan shortcut.Values,
            shortcut.Height,
            shortcut.Width,
            Span values
        )

        values

    let private run (network: PackedNetwork) (cancellation: CancellationToken) (image: float32[]) height width =
        let logits = Array.zeroCreate network.Classes
        network.Run(ReadOnlySpan image, height, width, Span logits, cancellation)
        logits

    /// <summary>The packed engine until it is cancelled: then the run, or the next layer, throws OperationCanceledException.</summary>
    let cancelledBy (cancellation: CancellationToken) (network: PackedNetwork) : PackedRunner =
        { RunLayer =
            fun number x height width ->
                cancellation.ThrowIfCancellationRequested()
                runLayer network number x height width
          RunAdd =
            fun number x shortcut ->
                cancellation.ThrowIfCancellationRequested()
                runAdd network number x shortcut
          Run = run network cancellation }

    /// <summary>The packed engine. The network must not be disposed before the last use.</summary>
    let ofNetwork (network: PackedNetwork) : PackedRunner = cancelledBy CancellationToken.None network
