namespace NormFree.Training

open System
open System.Collections.Generic
open NormFree.Spec
open NormFree.Torch
open NormFree.Torch.Layers
open TorchSharp
open TorchSharp.Modules

/// <summary>Batch norm is the only operation that looks at it: training uses the batch's statistics, evaluation the running ones.</summary>
type Mode =
    | Train
    | Evaluate

/// <summary>A network with its tensors: runs a graph, one torch operation after the other. The float64 oracle and the portable engine.</summary>
/// <remarks>
/// Parameters and buffers have the names of published checkpoints. Not thread-safe in training; evaluation is, for networks without batch norm
/// in training mode. Dispose it to free its tensors.
/// </remarks>
[<Sealed>]
type Network
    (spec: NetSpec, graph: Graph, parameters: (ParameterSpec * Parameter) list, buffers: (string * torch.Tensor) list) =

    let tensors = Dictionary<string, torch.Tensor>()

    do
        for described, tensor in parameters do
            tensors.Add(described.Key, tensor)

        for key, tensor in buffers do
            tensors.Add(key, tensor)

    let convolve (conv: ConvolutionSpec) x =
        let gain: torch.Tensor | null = if conv.Standardised then tensors[$"{conv.Key}.gain"] else null

        let options =
            ConvolutionOptions(conv.Stride, conv.Padding, conv.Standardised, (conv.Weight = OneBit), conv.Factor)

        Convolution.Apply(x, tensors[$"{conv.Key}.weight"], gain, &options)

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
            1e-5
        )

    let apply mode op (x: torch.Tensor) : torch.Tensor =
        match op with
        | Convolve conv -> convolve conv x
        | Scale factor -> x.Times factor
        | Shift(key, _) -> LearnableShift.Apply(x, tensors[key])
        | Sign -> ApproximateSign.Apply x
        | RPReLU names -> RPReLU.Apply(x, tensors[names.ShiftIn], tensors[names.Slope], tensors[names.ShiftOut])
        | ReLU -> torch.nn.functional.relu x
        | Normalise(key, _) -> normalise key mode x
        | MaxPool(kernel, stride, padding) -> torch.nn.functional.max_pool2d (x, kernel, stride, padding)
        | AveragePool kernel -> torch.nn.functional.avg_pool2d (x, kernel, kernel)
        | GlobalAveragePool -> x.mean [| 2L; 3L |]
        | Linear(key, _, _) -> torch.nn.functional.linear (x, tensors[$"{key}.weight"], tensors[$"{key}.bias"])

    /// Intermediate results are released as soon as they are used; autograd keeps what it needs itself.
    let release (input: torch.Tensor) (result: torch.Tensor) =
        if not (Object.ReferenceEquals(input, result)) then
            result.Dispose()

    let rec run mode graph (x: torch.Tensor) : torch.Tensor =
        match graph with
        | Op op -> apply mode op x
        | Chain parts ->
            (x, parts)
            ||> List.fold (fun current part ->
                let next = run mode part current

                if not (Object.ReferenceEquals(next, current)) then
                    release x current

                next)
        | Residual(branch, shortcut) ->
            join x [ run mode branch x; run mode shortcut x ] (Array.reduce (fun a b -> a.Plus b))
        | Parallel parts -> join x [ for part in parts -> run mode part x ] (fun results -> torch.cat (results, 1L))

    and join x parts (combine: torch.Tensor[] -> torch.Tensor) =
        let result = combine (List.toArray parts)
        parts |> List.iter (release x)
        result

    /// <summary>What the network is.</summary>
    member _.Spec = spec

    /// <summary>The operations it runs.</summary>
    member _.Graph = graph

    /// <summary>The trained tensors, in the order of use.</summary>
    member _.Parameters = parameters

    /// <summary>The running statistics of batch norms; empty for other networks.</summary>
    member _.Buffers = buffers

    /// <summary>All tensors by name.</summary>
    member _.Tensors: (string * torch.Tensor) list =
        [ for described, tensor in parameters -> described.Key, (tensor :> torch.Tensor)
          yield! buffers ]

    /// <summary>Logits (N×classes) of images (N×3×H×W, normalised, of the parameters' type).</summary>
    member _.Forward(images: torch.Tensor, mode: Mode) : torch.Tensor = run mode graph images

    /// <summary>Sets every gradient to nothing.</summary>
    member _.ForgetGradients() =
        for _, tensor in parameters do
            tensor.grad <- null

    interface IDisposable with
        member _.Dispose() =
            for _, tensor in parameters do
                tensor.Dispose()

            for _, tensor in buffers do
                tensor.Dispose()

/// <summary>Makes networks.</summary>
[<RequireQualifiedAccess>]
module Network =

    let private shape (parameter: ParameterSpec) = parameter.Shape |> List.map int64 |> List.toArray

    /// Uniform on [low, high).
    let private uniform generator (dtype: torch.ScalarType) (size: int64[]) (low: float) (high: float) =
        use scope = torch.NewDisposeScope()
        let unit = torch.rand (size, dtype = dtype, generator = generator)
        unit.Times(high - low).Plus(low).MoveToOuterDisposeScope()

    /// PyTorch's start of a convolution or linear layer: uniform within ±1/√fan_in.
    let private withinFanIn generator dtype size fanIn =
        let bound = 1.0 / sqrt (float fanIn)
        uniform generator dtype size -bound bound

    let private constant dtype (size: int64[]) (value: float) =
        use scope = torch.NewDisposeScope()
        torch.zeros(size, dtype = dtype).PlusInPlace(value).MoveToOuterDisposeScope()

    /// Published (deviation 9): a convolution with binary weights starts at rand·1e-3 ≥ 0, where all signs are +1.
    let private binaryStart rule generator dtype size =
        match rule with
        | Rule.Published -> uniform generator dtype size 0.0 1e-3
        | Rule.Corrected -> uniform generator dtype size -1e-3 1e-3

    let private start rule generator dtype (parameter: ParameterSpec) =
        let size = shape parameter

        match parameter.Kind with
        | ConvolutionWeight conv when conv.Weight = OneBit -> binaryStart rule generator dtype size
        | ConvolutionWeight conv -> withinFanIn generator dtype size (conv.In * conv.Kernel * conv.Kernel)
        | LinearWeight -> withinFanIn generator dtype size parameter.Shape[1]
        | LinearBias inputs -> withinFanIn generator dtype size inputs
        | Gain
        | NormWeight -> constant dtype size 1.0
        | Slope -> constant dtype size 0.25
        | ShiftBias
        | NormBias -> constant dtype size 0.0

    let private buffers dtype graph =
        [ for key, channels in Parameters.normsOf graph do
              let size = [| int64 channels |]
              yield $"{key}.running_mean", constant dtype size 0.0
              yield $"{key}.running_var", constant dtype size 1.0
              yield $"{key}.num_batches_tracked", torch.zeros ([||], dtype = torch.ScalarType.Int64) ]

    /// <summary>A network of the given type whose tensors come from a function of their description.</summary>
    /// <remarks>Its tensors belong to no dispose scope.</remarks>
    let private build dtype value (spec: NetSpec) =
        let graph = Lowering.lower spec

        let parameters =
            [ for parameter in Parameters.ofGraph graph ->
                  let tensor: torch.Tensor = value parameter
                  parameter, new Parameter(tensor.DetachFromDisposeScope(), true) ]

        let buffers =
            [ for key, tensor in buffers dtype graph -> key, (tensor: torch.Tensor).DetachFromDisposeScope() ]

        new Network(spec, graph, parameters, buffers)

    /// <summary>A network at the start of its training: a function of the seed alone.</summary>
    /// <remarks>float32 to train, float64 to compare; <c>binaryStart</c> is deviation 9 of the method.</remarks>
    let create (dtype: torch.ScalarType) (binaryStart: Rule) (seed: int64) (spec: NetSpec) =
        use generator = new torch.Generator(uint64 seed)
        build dtype (start binaryStart generator dtype) spec

    /// <summary>Copies values into a network, tensor by tensor.</summary>
    /// <remarks><c>values</c> gives a tensor's values by its name: as many as it has, in row-major order, of any type.</remarks>
    let fill (values: string -> torch.Tensor) (network: Network) =
        use _ = torch.no_grad ()

        for key, tensor in network.Tensors do
            use scope = torch.NewDisposeScope()
            let value = values key
            tensor.copy_ (value.reshape tensor.shape) |> ignore
