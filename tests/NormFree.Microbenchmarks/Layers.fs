/// Forward and backward pass of each composite layer.
module NormFree.Benchmarks.Layers

open NormFree.Benchmarks.Alternate
open NormFree.Torch.Layers
open TorchSharp

/// A map of a batch, as it occurs in ReActNet-18 on 32×32 images.
type private Map = { Batch: int; Channels: int; Side: int }

let private maps =
    [ { Batch = 16; Channels = 64; Side = 32 }; { Batch = 16; Channels = 256; Side = 8 } ]

let private values (map: Map) = map.Batch * map.Channels * map.Side * map.Side

/// Layers that move memory, and layers that compute.
type private Work =
    /// Floats that a layer which computes in one pass has to read and write, forward and backward, for each value of its map.
    | FloatsPerValue of int
    /// Multiply-accumulates: forward, and twice that backward.
    | Macs of int64

let private figure map work seconds =
    match work with
    | FloatsPerValue floats ->
        let bytes = float (sizeof<float32> * floats * values map)
        $"{bytes / 1e6:f1} MB, {bytes / seconds / 1e9:f1} GB/s"
    | Macs macs -> $"{float macs / 1e6:f0} MMAC, {float macs / seconds / 1e9:f0} GMAC/s"

let private leaf (shape: int64[]) = torch.randn(shape).requires_grad_ true

/// One forward and backward pass; gradients of the leaves are freed.
let private pass (leaves: torch.Tensor list) (gradient: torch.Tensor) (forward: unit -> torch.Tensor) () =
    use _ = torch.NewDisposeScope()
    let y = forward ()
    y.backward [| gradient |]

    for leaf in leaves do
        leaf.grad <- null

let private layers (map: Map) =
    let c = int64 map.Channels
    let shape = [| int64 map.Batch; c; int64 map.Side; int64 map.Side |]
    let x, dy = leaf shape, torch.randn shape
    let channels () = leaf [| 1L; c; 1L; 1L |]
    let shiftIn, slope, shiftOut = channels (), leaf [| c |], channels ()
    let weight, gain = leaf [| c; c; 3L; 3L |], leaf [| c; 1L; 1L; 1L |]
    let macs = 3L * int64 (values map) * c * 9L

    let convolution standardised binary () =
        let options = ConvolutionOptions(1, 1, standardised, binary)
        let gain: torch.Tensor | null = if standardised then gain else null
        Convolution.Apply(x, weight, gain, &options)

    let version name leaves forward : Version = { Name = name; Run = pass leaves dy forward }

    [ // x and y; x, dy and dx.
      version "approximate sign" [ x ] (fun () -> ApproximateSign.Apply x), FloatsPerValue 5
      version "RPReLU" [ x; shiftIn; slope; shiftOut ] (fun () -> RPReLUActivation.Apply(x, shiftIn, slope, shiftOut)),
      FloatsPerValue 5
      version "plain convolution 3×3" [ x; weight ] (convolution false false), Macs macs
      version "standardised convolution 3×3" [ x; weight; gain ] (convolution true false), Macs macs
      version "binary convolution 3×3" [ x; weight ] (convolution false true), Macs macs
      version "binary standardised convolution 3×3" [ x; weight; gain ] (convolution true true), Macs macs ]

let private ofMap effort (map: Map) =
    use _ = torch.NewDisposeScope()
    printfn $"### {map.Channels} channels at {map.Side}×{map.Side}, batch {map.Batch}\n"
    let layers = layers map
    let works = dict [ for version, work in layers -> version.Name, work ]
    let moving, computing = layers |> List.partition (fun (_, work) -> work.IsFloatsPerValue)

    for group in [ moving; computing ] do
        group
        |> List.map fst
        |> Alternate.run effort
        |> report "work, speed" (fun t -> figure map works[t.Name] t.Median)

let run () =
    printfn "## Layers: forward and backward\n"
    printfn "Bytes are what one fused pass would move; torch runs several.\n"

    for map in maps do
        ofMap { WarmUp = 2; Rounds = 5; Seconds = 5.0 } map
