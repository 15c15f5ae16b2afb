namespace NormFree.Networks

open System
open System.Collections.Generic
open NormFree.Runs
open NormFree.Spec
open NormFree.Torch
open NormFree.Torch.Fused
open NormFree.Torch.Native
open TorchSharp
open TorchSharp.Modules

/// Chooses the engine that computes a network.
module private Engines =

    /// The execution that is used for these parameters.
    let used (execution: Execution) (parameters: (ParameterSpec * Parameter) list) =
        let tensor = snd parameters.Head

        match execution.On(tensor.device_type, tensor.dtype) with
        | Ok used -> used
        | Error why -> raise (TrainingException why)

    /// A function that runs named parts of a network.
    let runner (execution: Execution) (progress: unit -> float) (tensors: IReadOnlyDictionary<string, torch.Tensor>) =
        match execution.Engine with
        | Composite ->
            let composite = CompositeEngine.OfTorch(progress, tensors)

            fun (mode: Mode) (parts: (string * Graph) list) (hook: ForwardHook) (images: torch.Tensor) ->
                composite.Run(mode, parts, hook, images)
        | Fused ->
            let fused = FusedEngine(execution.Precision, progress, tensors)
            fun mode parts hook images -> fused.Run(mode, parts, hook, images)

/// <summary>A network with its tensors and the engine that runs it.</summary>
/// <remarks>
/// Parameters and buffers have the names of published checkpoints. Evaluation is thread-safe, training is not. Dispose it to free its tensors.
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

    let mutable progress = 0.0
    let mutable isFrozen = false
    let run = Engines.runner execution (fun () -> progress) tensors

    /// The body, which is computed as for evaluation and without gradients, then the classifier.
    let runFrozen (hook: ForwardHook) (images: torch.Tensor) =
        let body, classifier = List.splitAt (parts.Length - 1) parts
        use features = using (torch.no_grad ()) (fun _ -> run Evaluate body hook images)
        run Train classifier hook features

    /// <summary>The network's spec.</summary>
    member _.Spec = spec

    /// <summary>The part of the stage that has been trained, from 0 to 1. Annealed sign gradients depend on it.</summary>
    member _.Progress
        with get () = progress
        and set value = progress <- value

    /// <summary>Whether only the classifier is trained. Training passes then compute all other parts as for evaluation: these get no gradients,
    /// and running statistics stay as they are.</summary>
    member _.IsFrozen
        with get () = isFrozen
        and set value = isFrozen <- value

    /// <summary>Whether a parameter belongs to the classifier, the network's only linear layer.</summary>
    static member IsOfClassifier(parameter: ParameterSpec) =
        match parameter.Kind with
        | LinearWeight
        | LinearBias _ -> true
        | _ -> false

    /// <summary>How the network is computed.</summary>
    member _.Execution = execution

    /// <summary>The trainable tensors, in the order of use.</summary>
    member _.Parameters = parameters

    /// <summary>The running statistics of batch norm; empty for other networks.</summary>
    member _.Buffers = buffers

    /// <summary>All tensors by name.</summary>
    member _.Tensors: (string * torch.Tensor) list =
        [ for described, tensor in parameters -> described.Key, (tensor :> torch.Tensor)
          yield! buffers ]

    /// <summary>Logits (N×classes) of images (N×3×H×W, normalised, of the parameters' type).</summary>
    member network.Forward(images: torch.Tensor, mode: Mode) : torch.Tensor =
        network.Forward(images, mode, ForwardHook.none)

    /// The same with a hook that is called after each part.
    member internal _.Forward(images: torch.Tensor, mode: Mode, hook: ForwardHook) : torch.Tensor =
        if isFrozen && mode = Train then
            runFrozen hook images
        else
            run mode parts hook images

    /// <summary>For each trainable tensor, the number of its part of the network, from 0. Parts are computed one after the other.</summary>
    member _.PartOf =
        [ for number, (_, graph) in List.indexed parts do
              for _ in Parameters.ofGraph graph -> number ]

    /// <summary>Sets every gradient to null.</summary>
    member _.ClearGradients() =
        for _, tensor in parameters do
            tensor.grad <- null

    /// <summary>Sets the gradients to those of a loss.</summary>
    /// <remarks>Throws InvalidOperationException if a fused layer fails; the gradients are invalid then.</remarks>
    member this.Backward(loss: torch.Tensor) =
        this.ClearGradients()
        this.AddGradients(loss, ignore)

    /// <summary>Adds the gradients of a loss to the existing ones.</summary>
    /// <remarks><c>layerBegins</c> is called for fused layers as <c>FusedBackward.Begin</c> describes. Throws as <c>Backward</c> does.</remarks>
    member _.AddGradients(loss: torch.Tensor, layerBegins: IReadOnlyList<torch.Tensor> -> unit) =
        use _ = torch.NewDisposeScope()
        FusedBackward.Begin layerBegins

        try
            loss.backward ()
        finally
            // A layer's own exception says more than libtorch's error about missing gradients.
            FusedBackward.End()

    interface IDisposable with
        member _.Dispose() =
            for _, tensor in parameters do
                tensor.Dispose()

            for _, tensor in buffers do
                tensor.Dispose()

/// <summary>Creates networks.</summary>
[<RequireQualifiedAccess>]
module Network =

    let private shape (parameter: ParameterSpec) = parameter.Shape |> List.map int64 |> List.toArray

    /// <summary>Names and shapes of the tensors of a network, without creating it.</summary>
    let tensorShapes (spec: NetSpec) : (string * int64[]) list =
        let graph = Lowering.lower spec

        [ for parameter in Parameters.ofGraph graph -> parameter.Key, shape parameter
          for key, shape in Parameters.buffersOf graph -> key, [| for side in shape -> int64 side |] ]

    /// Uniform on [low, high).
    let private uniform generator (dtype: torch.ScalarType) (size: int64[]) (low: float) (high: float) =
        use scope = torch.NewDisposeScope()
        let unit = torch.rand (size, dtype = dtype, generator = generator)
        unit.Times(high - low).Plus(low).MoveToOuterDisposeScope()

    /// PyTorch's initialisation of convolutions and linear layers: uniform within ±1/√fan_in.
    let private withinFanIn generator dtype size fanIn =
        let bound = 1.0 / sqrt (float fanIn)
        uniform generator dtype size -bound bound

    let private constant dtype (size: int64[]) (value: float) =
        use scope = torch.NewDisposeScope()
        torch.zeros(size, dtype = dtype).PlusInPlace(value).MoveToOuterDisposeScope()

    /// Published (deviation 9): binary weights start at rand·1e-3 ≥ 0, where all signs are +1.
    let private binaryInit rule generator dtype size =
        match rule with
        | Rule.Published -> uniform generator dtype size 0.0 1e-3
        | Rule.Corrected -> uniform generator dtype size -1e-3 1e-3

    let private start rule generator dtype (parameter: ParameterSpec) =
        let size = shape parameter

        match parameter.Kind with
        | ConvolutionWeight conv when conv.Weight = OneBit -> binaryInit rule generator dtype size
        | ConvolutionWeight conv -> withinFanIn generator dtype size conv.FanIn
        | LinearWeight -> withinFanIn generator dtype size parameter.Shape[1]
        | LinearBias inputs -> withinFanIn generator dtype size inputs
        | Gain
        | NormWeight -> constant dtype size 1.0
        | Slope -> constant dtype size 0.25
        // A slope of 1/8, as in A&B BNN.
        | SlopeExponent -> constant dtype size -3.0
        | ShiftBias
        | NormBias -> constant dtype size 0.0

    let private buffers dtype graph =
        [ for key, channels in Parameters.normsOf graph do
              let size = [| int64 channels |]
              yield $"{key}.running_mean", constant dtype size 0.0
              yield $"{key}.running_var", constant dtype size 1.0
              yield $"{key}.num_batches_tracked", torch.zeros ([||], dtype = torch.ScalarType.Int64) ]

    /// A network whose tensors come from a function of their description. Its tensors belong to no dispose scope.
    let private build dtype value (spec: NetSpec) =
        Extensions.require spec
        let graph = Lowering.lower spec

        let parameters =
            [ for parameter in Parameters.ofGraph graph ->
                  let tensor: torch.Tensor = value parameter
                  parameter, new Parameter(tensor.DetachFromDisposeScope(), true) ]

        let buffers =
            [ for key, tensor in buffers dtype graph -> key, (tensor: torch.Tensor).DetachFromDisposeScope() ]

        new Network(spec, Engines.used Execution.Default parameters, parameters, buffers)

    /// <summary>A network with initial weights, which depend on the seed alone.</summary>
    /// <remarks>Use float32 to train and float64 to compare. <c>binaryInit</c> is deviation 9 of the method. Throws TrainingException if the network uses
    /// an extension that is not registered (<see cref="M:NormFree.Networks.Extensions.registerSign"/>).</remarks>
    let create (dtype: torch.ScalarType) (binaryInit: Rule) (seed: int64) (spec: NetSpec) =
        TorchNative.Ensure()
        use generator = new torch.Generator(uint64 seed)
        build dtype (start binaryInit generator dtype) spec

    /// <summary>Moves a network's tensors to a device. The given network must not be used afterwards.</summary>
    /// <remarks>Throws TrainingException if there is no such device.</remarks>
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

    /// <summary>The same tensors with another execution; by the composite engine if the fused one does not support them.</summary>
    /// <remarks>Both networks share the tensors: dispose one of them, after the last use of either. Throws TrainingException if the network's
    /// device does not support the execution.</remarks>
    let running (execution: Execution) (network: Network) =
        new Network(network.Spec, Engines.used execution network.Parameters, network.Parameters, network.Buffers)

    /// The same tensors as a network of another stage. Both networks share them: dispose one of them.
    let internal inStage binarise (network: Network) =
        new Network(Net.withBinarise binarise network.Spec, network.Execution, network.Parameters, network.Buffers)

    /// <summary>Copies values into those tensors of a network whose names are chosen.</summary>
    /// <remarks><c>values</c> returns a tensor's values by its name, in row-major order and of any element type.</remarks>
    let fillWhere (isChosen: string -> bool) (values: string -> torch.Tensor) (network: Network) =
        use _ = torch.no_grad ()

        for key, tensor in network.Tensors do
            if isChosen key then
                use scope = torch.NewDisposeScope()
                let value = values key
                tensor.copy_ (value.reshape tensor.shape) |> ignore

    /// <summary>Copies values into a network, tensor by tensor, as <c>fillWhere</c> does.</summary>
    let fill (values: string -> torch.Tensor) (network: Network) = fillWhere (fun _ -> true) values network
