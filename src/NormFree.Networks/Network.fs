namespace NormFree.Networks

open System
open System.Collections.Generic
open NormFree.Runs
open NormFree.Spec
open NormFree.Torch
open NormFree.Torch.Fused
open TorchSharp
open TorchSharp.Modules

/// Which engine computes a network.
module private Engines =

    /// What is used of an execution for these parameters.
    let used (execution: Execution) (parameters: (ParameterSpec * Parameter) list) =
        let tensor = snd parameters.Head

        match execution.On(tensor.device_type, tensor.dtype) with
        | Ok used -> used
        | Error why -> raise (TrainingException why)

    /// Runs a network, given as its parts with their names: this is where an engine is chosen.
    let runner
        (execution: Execution)
        (parts: (string * Graph) list)
        (tensors: IReadOnlyDictionary<string, torch.Tensor>)
        =
        match execution.Engine with
        | Composite ->
            let composite = CompositeEngine(Convolutions.plain tensors, tensors)
            fun (mode: Mode) (look: ForwardHook) (images: torch.Tensor) -> composite.Run(mode, parts, look, images)
        | Fused ->
            let fused = FusedEngine(execution.Precision, tensors)
            let parts = parts |> List.map (fun (name, graph) -> name, Fusion.parts graph)
            fun mode look images -> fused.Run(mode, parts, look, images)

/// <summary>A network with its tensors, and the engine that runs it.</summary>
/// <remarks>
/// Parameters and buffers have the names of published checkpoints. Not thread-safe in training; evaluation is, for networks without batch norm
/// in training mode. Dispose it to free its tensors.
/// </remarks>
[<Sealed>]
type Network
    internal
    (
        spec: NetSpec,
        execution: Execution,
        parameters: (ParameterSpec * Parameter) list,
        buffers: (string * torch.Tensor) list
    ) =

    let parts = Lowering.parts spec
    let tensors = Dictionary<string, torch.Tensor>()

    do
        for described, tensor in parameters do
            tensors.Add(described.Key, tensor)

        for key, tensor in buffers do
            tensors.Add(key, tensor)

    let run = Engines.runner execution parts tensors

    /// <summary>What the network is.</summary>
    member _.Spec = spec

    /// <summary>How it is computed.</summary>
    member _.Execution = execution

    /// <summary>The trained tensors, in the order of use.</summary>
    member _.Parameters = parameters

    /// <summary>The running statistics of batch norms; empty for other networks.</summary>
    member _.Buffers = buffers

    /// <summary>All tensors by name.</summary>
    member _.Tensors: (string * torch.Tensor) list =
        [ for described, tensor in parameters -> described.Key, (tensor :> torch.Tensor)
          yield! buffers ]

    /// <summary>Logits (N×classes) of images (N×3×H×W, normalised, of the parameters' type).</summary>
    member _.Forward(images: torch.Tensor, mode: Mode) : torch.Tensor = run mode ForwardHook.none images

    /// The same, looking at every part of the network on the way.
    member internal _.Forward(images: torch.Tensor, mode: Mode, look: ForwardHook) : torch.Tensor = run mode look images

    /// <summary>The number of the part of the network, from 0, that each trained tensor belongs to; parts are computed one after the other.</summary>
    member _.PartOf =
        [ for number, (_, graph) in List.indexed parts do
              for _ in Parameters.ofGraph graph -> number ]

    /// <summary>Sets every gradient to nothing.</summary>
    member _.ForgetGradients() =
        for _, tensor in parameters do
            tensor.grad <- null

    /// <summary>Sets every gradient to that of a loss of this network's logits.</summary>
    /// <remarks>Throws InvalidOperationException where a fused layer has failed; the gradients are of no use then.</remarks>
    member this.Backward(loss: torch.Tensor) =
        this.ForgetGradients()
        this.AddGradients(loss, ignore)

    /// <summary>Adds those of a loss of this network's logits to the gradients.</summary>
    /// <remarks><c>layerBegins</c> is told of fused layers as <c>FusedBackward.Begin</c> says. Throws as <c>Backward</c> does.</remarks>
    member _.AddGradients(loss: torch.Tensor, layerBegins: IReadOnlyList<torch.Tensor> -> unit) =
        use _ = torch.NewDisposeScope()
        FusedBackward.Begin layerBegins

        try
            loss.backward ()
        finally
            // A layer's own failure says more than what libtorch makes of its missing gradients.
            FusedBackward.End()

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

        new Network(spec, Engines.used Execution.Default parameters, parameters, buffers)

    /// <summary>A network at the start of its training: a function of the seed alone.</summary>
    /// <remarks>float32 to train, float64 to compare; <c>binaryStart</c> is deviation 9 of the method.</remarks>
    let create (dtype: torch.ScalarType) (binaryStart: Rule) (seed: int64) (spec: NetSpec) =
        use generator = new torch.Generator(uint64 seed)
        build dtype (start binaryStart generator dtype) spec

    /// <summary>The network with its tensors on a device; the network that is given must not be used any more.</summary>
    /// <remarks>Throws TrainingException where there is no such device.</remarks>
    let on (device: Device) (network: Network) =
        device.Require()

        let move (tensor: torch.Tensor) =
            use _ = torch.no_grad ()
            tensor.``to``(device.Type).DetachFromDisposeScope()

        match device with
        | Cpu -> network
        | Cuda ->
            use network = network

            let parameters =
                [ for described, tensor in network.Parameters -> described, new Parameter(move tensor, true) ]

            let buffers = [ for key, tensor in network.Buffers -> key, move tensor ]
            new Network(network.Spec, Engines.used network.Execution parameters, parameters, buffers)

    /// <summary>The same tensors computed another way, or by the composite engine where the fused one does not take them.</summary>
    /// <remarks>Both networks share the tensors: dispose one of them, after the last use of either. Throws TrainingException where there is no
    /// such way for the network's device.</remarks>
    let running (execution: Execution) (network: Network) =
        new Network(network.Spec, Engines.used execution network.Parameters, network.Parameters, network.Buffers)

    /// <summary>Copies values into a network, tensor by tensor.</summary>
    /// <remarks><c>values</c> gives a tensor's values by its name: as many as it has, in row-major order, of any type.</remarks>
    let fill (values: string -> torch.Tensor) (network: Network) =
        use _ = torch.no_grad ()

        for key, tensor in network.Tensors do
            use scope = torch.NewDisposeScope()
            let value = values key
            tensor.copy_ (value.reshape tensor.shape) |> ignore
