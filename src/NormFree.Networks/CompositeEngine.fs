namespace NormFree.Networks

open System
open System.Collections.Generic
open NormFree.Runs
open NormFree.Spec
open NormFree.Torch
open NormFree.Torch.Layers
open NormFree.Torch.Profiling
open TorchSharp

/// Called after each named part of a network with its name, input and output. Both tensors are valid during the call only.
type internal ForwardHook = string -> torch.Tensor -> torch.Tensor -> unit

module internal ForwardHook =

    /// Does nothing.
    let none: ForwardHook = fun _ _ _ -> ()

    /// Calls both hooks.
    let both (a: ForwardHook) (b: ForwardHook) : ForwardHook =
        fun name input result ->
            a name input result
            b name input result

/// Convolutions by torch operations.
module internal Convolutions =

    let gain (tensors: IReadOnlyDictionary<string, torch.Tensor>) (conv: ConvolutionSpec) : torch.Tensor | null =
        if conv.Standardised then tensors[$"{conv.Key}.gain"] else null

    let options (conv: ConvolutionSpec) =
        ConvolutionOptions(conv.Stride, conv.Padding, conv.Standardised, (conv.Weight = OneBit), conv.Factor)

    /// A convolution in the tensors' own element type.
    let plain (tensors: IReadOnlyDictionary<string, torch.Tensor>) (conv: ConvolutionSpec) x =
        let options = options conv
        Convolution.Apply(x, tensors[$"{conv.Key}.weight"], gain tensors conv, &options)

/// <summary>The composite engine: runs a graph one torch operation at a time. It is the float64 oracle of tests and runs on every device.</summary>
[<Sealed>]
type internal CompositeEngine
    (convolve: ConvolutionSpec -> torch.Tensor -> torch.Tensor, tensors: IReadOnlyDictionary<string, torch.Tensor>) =

    let normalise key mode x =
        if mode = Train then
            use one = torch.ones_like tensors[$"{key}.num_batches_tracked"]
            tensors[$"{key}.num_batches_tracked"].PlusInPlace one |> ignore

        torch.nn.functional.batch_norm (
            x,
            tensors[$"{key}.running_mean"],
            tensors[$"{key}.running_var"],
            tensors[$"{key}.weight"],
            tensors[$"{key}.bias"],
            (mode = Train),
            0.1,
            Graph.normEpsilon
        )

    let apply mode op (x: torch.Tensor) : torch.Tensor =
        match op with
        | Convolve conv -> convolve conv x
        | Scale factor -> x.Times factor
        | Shift(key, _) -> LearnableShift.Apply(x, tensors[key])
        | Sign -> ApproximateSign.Apply x
        | RPReLU names ->
            RPReLUActivation.Apply(x, tensors[names.ShiftIn], tensors[names.Slope], tensors[names.ShiftOut])
        | ReLU -> torch.nn.functional.relu x
        | Normalise(key, _) -> normalise key mode x
        | MaxPool(kernel, stride, padding) -> torch.nn.functional.max_pool2d (x, kernel, stride, padding)
        | AveragePool kernel -> torch.nn.functional.avg_pool2d (x, kernel, kernel)
        | CenterChannels -> ChannelMeanSubtraction.Apply x
        | GlobalAveragePool -> x.mean [| 2L; 3L |]
        | Linear(key, _, _) -> torch.nn.functional.linear (x, tensors[$"{key}.weight"], tensors[$"{key}.bias"])

    /// Frees intermediate results as soon as they are used; autograd keeps what it needs.
    let release (input: torch.Tensor) (result: torch.Tensor) =
        if not (Object.ReferenceEquals(input, result)) then
            result.Dispose()

    /// Frees the current result of a chain that started with x, and returns the next one.
    let replace x current next =
        if not (Object.ReferenceEquals(next, current)) then
            release x current

        next

    let rec run mode graph (x: torch.Tensor) : torch.Tensor =
        match graph with
        | Op op -> apply mode op x
        | Chain parts -> parts |> List.fold (follow mode x) x
        | Residual(branch, shortcut) ->
            join x [ run mode branch x; run mode shortcut x ] (Array.reduce (fun a b -> a.Plus b))
        | Parallel parts -> join x [ for part in parts -> run mode part x ] (fun results -> torch.cat (results, 1L))

    /// Runs the next part of a chain that started with x.
    and follow mode x current part = run mode part current |> replace x current

    and join x parts (combine: torch.Tensor[] -> torch.Tensor) =
        let result = combine (List.toArray parts)
        parts |> List.iter (release x)
        result

    /// <summary>The result of a graph for x.</summary>
    member _.Run(mode: Mode, graph: Graph, x: torch.Tensor) : torch.Tensor = run mode graph x

    /// <summary>The result of a chain of named parts for x.</summary>
    member _.Run(mode: Mode, parts: (string * Graph) list, look: ForwardHook, x: torch.Tensor) : torch.Tensor =
        (x, parts)
        ||> List.fold (fun current (name, part) ->
            use _ = LayerClock.Measure(name, Phase.Forward)
            let next = run mode part current
            look name current next
            replace x current next)
