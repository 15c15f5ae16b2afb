namespace NormFree.Networks

open System
open System.Collections.Generic
open NormFree.Runs
open NormFree.Spec
open NormFree.Torch
open NormFree.Torch.Layers
open NormFree.Torch.Profiling
open TorchSharp

/// Called during a forward pass with a name, an input and an output. The tensors are valid during the call only.
type internal ForwardHook =
    {
        /// After each block: its input and output.
        Block: string -> torch.Tensor -> torch.Tensor -> unit
        /// After each binary layer: the input x of sign(β·x + b).
        Layer: string -> torch.Tensor -> unit
        /// Before each binary layer: the layer's whole input, before any norm. A shortcut takes it.
        Input: string -> torch.Tensor -> unit
    }

module internal ForwardHook =

    /// Does nothing.
    let none = { Block = (fun _ _ _ -> ()); Layer = (fun _ _ -> ()); Input = fun _ _ -> () }

    /// Calls both hooks.
    let both (a: ForwardHook) (b: ForwardHook) =
        { Block =
            fun name input result ->
                a.Block name input result
                b.Block name input result
          Layer =
            fun name input ->
                a.Layer name input
                b.Layer name input
          Input =
            fun name input ->
                a.Input name input
                b.Input name input }

/// Convolutions by torch operations.
module internal Convolutions =

    let gain (tensors: IReadOnlyDictionary<string, torch.Tensor>) (conv: ConvolutionSpec) : torch.Tensor | null =
        if conv.Standardised then tensors[$"{conv.Key}.gain"] else null

    let options (conv: ConvolutionSpec) =
        ConvolutionOptions(
            conv.Stride,
            conv.Padding,
            conv.Standardised,
            (conv.Weight = OneBit),
            conv.Factor,
            conv.ScaledSigns,
            conv.Dilation,
            conv.Groups
        )

    /// A convolution in the tensors' own element type.
    let plain (tensors: IReadOnlyDictionary<string, torch.Tensor>) (conv: ConvolutionSpec) x =
        let options = options conv
        Convolution.Apply(x, tensors[$"{conv.Key}.weight"], gain tensors conv, &options)

/// Slopes of PReLUs.
module internal SlopeTensors =

    /// The slopes, from the network's tensors.
    let values (tensors: IReadOnlyDictionary<string, torch.Tensor>) (slopes: Slopes) =
        match slopes.Kind with
        | SlopeKind.Real -> tensors[slopes.Key]
        | SlopeKind.PowerOfTwo -> PowerOfTwo.Apply tensors[slopes.Key]

/// The sign function with each gradient.
module internal Signs =

    /// k of an annealed tanh, which grows geometrically.
    let annealed first last progress = first * Math.Pow(last / first, progress)

    /// sign(x). `progress` is the part of the stage that has been trained, from 0 to 1.
    let apply (progress: float) gradient x =
        match gradient with
        | SignGradient.ApproxSign -> ApproximateSign.Apply x
        | SignGradient.StraightThrough bound -> SignFunctions.StraightThroughSign(x, bound)
        | SignGradient.SigmoidDerivative k -> SignFunctions.SigmoidSign(x, k)
        | SignGradient.SwishSign beta -> SignFunctions.SwishSign(x, beta)
        | SignGradient.AnnealedTanh(first, last) -> SignFunctions.TanhSign(x, annealed first last progress)
        | SignGradient.Custom name -> Extensions.sign name x

/// <summary>The composite engine: runs a graph one torch operation at a time. It is the float64 oracle of tests and runs on every device.</summary>
/// <remarks><c>progress</c> returns the part of the stage that has been trained, from 0 to 1, for annealed gradients. <c>kernel</c> may run binary
/// layers in another way: it returns None for those that it leaves to torch operations.</remarks>
[<Sealed>]
type internal CompositeEngine
    (
        convolve: ConvolutionSpec -> torch.Tensor -> torch.Tensor,
        progress: unit -> float,
        kernel: Mode -> ForwardHook -> BinaryLayer -> torch.Tensor -> torch.Tensor option,
        tensors: IReadOnlyDictionary<string, torch.Tensor>
    ) =

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

    let flatten (x: torch.Tensor) =
        use vectors = x.flatten 1L
        vectors.reshape (x.size 0, -1L, 1L, 1L)

    let linear (key: string) (x: torch.Tensor) =
        use vectors = x.flatten 1L
        torch.nn.functional.linear (vectors, tensors[$"{key}.weight"], tensors[$"{key}.bias"])

    let apply mode op (x: torch.Tensor) : torch.Tensor =
        match op with
        | Op.Convolve conv -> convolve conv x
        | Op.Scale factor -> x.Times factor
        | Op.Shift(key, _) -> LearnableShift.Apply(x, tensors[key])
        | Op.Sign gradient -> Signs.apply (progress ()) gradient x
        | Op.RPReLU names ->
            RPReLUActivation.Apply(
                x,
                tensors[names.ShiftIn],
                SlopeTensors.values tensors names.Slopes,
                tensors[names.ShiftOut]
            )
        | Op.PReLU(slopes, _) -> torch.nn.functional.prelu (x, SlopeTensors.values tensors slopes)
        | Op.ReLU -> torch.nn.functional.relu x
        | Op.HardTanh -> x.Between(-1.0, 1.0)
        | Op.CustomActivation name -> Extensions.activation name x
        | Op.Normalise(key, _) -> normalise key mode x
        | Op.MaxPool(kernel, stride, padding) -> torch.nn.functional.max_pool2d (x, kernel, stride, padding)
        | Op.AveragePool kernel -> torch.nn.functional.avg_pool2d (x, kernel, kernel)
        | Op.CenterChannels -> ChannelMeanSubtraction.Apply x
        | Op.PadChannels channels -> torch.nn.functional.pad (x, [| 0L; 0L; 0L; 0L; 0L; int64 channels |])
        | Op.GlobalAveragePool -> x.mean [| 2L; 3L |]
        | Op.Flatten _ -> flatten x
        | Op.Linear(key, _, _) -> linear key x

    /// Frees intermediate results as soon as they are used; autograd keeps what it needs.
    let release (input: torch.Tensor) (result: torch.Tensor) =
        if not (Object.ReferenceEquals(input, result)) then
            result.Dispose()

    /// Frees the current result of a chain that started with x, and returns the next one.
    let replace x current next =
        if not (Object.ReferenceEquals(next, current)) then
            release x current

        next

    let sum (parts: torch.Tensor[]) = parts |> Array.reduce (fun a b -> a.Plus b)

    let rec run mode hook graph (x: torch.Tensor) : torch.Tensor =
        match graph with
        | Op op -> apply mode op x
        | Chain parts -> parts |> List.fold (follow mode hook x) x
        | Residual(branch, shortcut) ->
            join x [ run mode hook branch x; run mode hook (Graph.ofShortcut shortcut) x ] sum
        | Parallel parts ->
            join x [ for part in parts -> run mode hook part x ] (fun results -> torch.cat (results, 1L))
        | Layer layer ->
            match kernel mode hook layer x with
            | Some result -> result
            | None -> runLayer mode hook layer x

    /// Runs the next part of a chain that started with x.
    and follow mode hook x current part = run mode hook part current |> replace x current

    and join x parts (combine: torch.Tensor[] -> torch.Tensor) =
        let result = combine (List.toArray parts)
        parts |> List.iter (release x)
        result

    and runLayer mode hook layer x =
        hook.Input layer.Name x
        let rest = Graph.ofLayer layer

        match layer.Convolution.NormBefore with
        | None ->
            hook.Layer layer.Name x
            run mode hook rest x
        | Some key -> runAfterNorm mode hook layer key x

    /// The norm runs first, so that the hook sees its result. The shortcut takes x itself.
    and runAfterNorm mode hook layer key x =
        use normal = normalise key mode x
        hook.Layer layer.Name normal
        let branch = run mode hook (Graph.ofConvolution { layer.Convolution with NormBefore = None }) normal

        let result =
            match layer.Shortcut with
            | NoShortcut -> branch
            | Concatenated -> join x [ x; branch ] (fun parts -> torch.cat (parts, 1L))
            | shortcut -> join x [ branch; run mode hook (Graph.ofShortcut shortcut) x ] sum

        match layer.Activation with
        | None -> result
        | Some op -> apply mode op result |> replace x result

    /// <summary>An engine that runs everything by torch operations.</summary>
    static member OfTorch(progress, tensors) =
        CompositeEngine(Convolutions.plain tensors, progress, (fun _ _ _ _ -> None), tensors)

    /// <summary>The result of a graph for x.</summary>
    member _.Run(mode: Mode, graph: Graph, x: torch.Tensor) : torch.Tensor = run mode ForwardHook.none graph x

    /// <summary>The same with a hook.</summary>
    member _.Run(mode: Mode, graph: Graph, hook: ForwardHook, x: torch.Tensor) : torch.Tensor = run mode hook graph x

    /// <summary>The result of a chain of named parts for x.</summary>
    member _.Run(mode: Mode, parts: (string * Graph) list, hook: ForwardHook, x: torch.Tensor) : torch.Tensor =
        (x, parts)
        ||> List.fold (fun current (name, part) ->
            use _ = LayerClock.Measure(name, Phase.Forward)
            let next = run mode hook part current
            hook.Block name current next
            replace x current next)
