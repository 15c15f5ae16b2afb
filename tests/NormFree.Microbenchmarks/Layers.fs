/// Forward and backward passes of the composite layers.
module NormFree.Microbenchmarks.Layers

open NormFree.Benchmarks
open NormFree.Torch.Layers
open TorchSharp

/// A batch of feature maps, as in ReActNet-18 on 32×32 images.
type private FeatureMap = { Batch: int; Channels: int; Side: int }

let private maps =
    [ { Batch = 16; Channels = 64; Side = 32 }; { Batch = 16; Channels = 256; Side = 8 } ]

let private values (map: FeatureMap) = map.Batch * map.Channels * map.Side * map.Side

/// The work of a memory-bound or compute-bound layer.
type private Work =
    /// Floats that a single-pass implementation reads and writes, forward and backward, per value of the feature map.
    | FloatsPerValue of int
    /// Multiply-accumulates of the forward pass and the backward pass, which takes twice as many.
    | Macs of int64

let private figure map work seconds =
    match work with
    | FloatsPerValue floats ->
        let bytes = float (sizeof<float32> * floats * values map)
        $"{bytes / 1e6:f1} MB, {bytes / seconds / 1e9:f1} GB/s"
    | Macs macs -> $"{float macs / 1e6:f0} MMAC, {float macs / seconds / 1e9:f0} GMAC/s"

let private leaf (shape: int64[]) = torch.randn(shape).requires_grad_ true

/// One forward and backward pass. Frees the gradients of the leaves.
let private pass (leaves: torch.Tensor list) (gradient: torch.Tensor) (forward: unit -> torch.Tensor) () =
    use _ = torch.NewDisposeScope()
    let y = forward ()
    y.backward [| gradient |]

    for leaf in leaves do
        leaf.grad <- null

let private layers (map: FeatureMap) =
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

    let candidate name leaves forward : Candidate = { Name = name; Run = pass leaves dy forward }

    [ // Forward: x and y. Backward: x, dy and dx.
      candidate "approximate sign" [ x ] (fun () -> ApproximateSign.Apply x), FloatsPerValue 5
      candidate "RPReLU" [ x; shiftIn; slope; shiftOut ] (fun () -> RPReLUActivation.Apply(x, shiftIn, slope, shiftOut)),
      FloatsPerValue 5
      candidate "plain convolution 3×3" [ x; weight ] (convolution false false), Macs macs
      candidate "standardised convolution 3×3" [ x; weight; gain ] (convolution true false), Macs macs
      candidate "binary convolution 3×3" [ x; weight ] (convolution false true), Macs macs
      candidate "binary standardised convolution 3×3" [ x; weight; gain ] (convolution true true), Macs macs ]

let private ofMap (effort: Effort) (map: FeatureMap) =
    use _ = torch.NewDisposeScope()
    printfn $"### {map.Channels} channels at {map.Side}×{map.Side}, batch {map.Batch}\n"
    let layers = layers map
    let works = dict [ for candidate, work in layers -> candidate.Name, work ]
    let moving, computing = layers |> List.partition (fun (_, work) -> work.IsFloatsPerValue)

    for group in [ moving; computing ] do
        group
        |> List.map fst
        |> Alternation.run effort
        |> Show.timings "work, speed" (fun t -> figure map works[t.Name] t.Median)

let run () =
    printfn "## Layers: forward and backward\n"
    printfn "Bytes are those of one fused pass; torch runs several.\n"

    for map in maps do
        ofMap { WarmUp = 2; Rounds = 5; Seconds = 5.0 } map
