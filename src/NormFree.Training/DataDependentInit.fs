namespace NormFree.Training

open System
open System.Collections.Generic
open NormFree.Data
open NormFree.Networks
open NormFree.Runs
open NormFree.Spec
open NormFree.Torch
open TorchSharp

/// <summary>The result of a data-dependent initialisation: the network with measured variances, and its shifts by key.</summary>
/// <remarks>Dispose it to free the shifts.</remarks>
type internal MeasuredInit =
    { Net: NetSpec
      Shifts: (string * torch.Tensor) list }

    interface IDisposable with
        member s.Dispose() =
            for _, shift in s.Shifts do
                shift.Dispose()

/// <summary>Data-dependent initialisation (deviation 6), layer by layer: β = 1/√v, where v is the measured mean of the channels' variances, and
/// b = −β·mean. The input of each sign then has mean 0 in every channel, and its variance averages 1 over the channels.</summary>
/// <remarks>After Salimans and Kingma, "Weight normalization" (NeurIPS 2016), section 3, and Mishkin and Matas, "All you need is a good init"
/// (ICLR 2016). Each layer is measured after the layers before it are initialised.</remarks>
[<RequireQualifiedAccess>]
module internal DataDependentInit =

    /// The lower bound of variances, which prevents division by 0 for constant inputs.
    let smallestVariance = 1e-6

    let private measuredImages = 256

    /// <summary>Whether the network has a β to initialise.</summary>
    let appliesTo net =
        match Net.tryBinary net |> Option.map _.Norm with
        | Some(BnFree _ | Scaled _) -> true
        | Some(BatchNorm | NoNorm)
        | None -> false

    /// The channels' means (1×C×1×1) and the mean of their variances.
    let private channels (x: torch.Tensor) =
        let dimensions = [| 0L; 2L; 3L |]
        let mean: torch.Tensor = x.mean (dimensions, true)
        let variance: torch.Tensor = x.``var`` (dimensions, false, true)
        mean, max smallestVariance (float (variance.mean().item<float32>()))

    /// The graph of a block, given the variances of the first residual blocks, last one first.
    let private graph (net: NetSpec) known index =
        let unknown = List.replicate ((Net.residualBlocks net).Length - List.length known) 1.0
        let net = net |> Net.withExpectedVariance (ExpectedVariance.Measured(List.rev known @ unknown))
        Lowering.parts net |> List.item index |> snd

    /// <summary>Measures a network on preprocessed images (N×3×H×W). It changes the network's shifts.</summary>
    let ofImages (network: Network) (images: torch.Tensor) : MeasuredInit =
        use _ = torch.NewDisposeScope()
        use _ = torch.no_grad ()
        let net, tensors = network.Spec, Dictionary(dict network.Tensors)
        let engine = CompositeEngine.OfTorch((fun () -> 0.0), tensors)

        let shifts = ResizeArray()

        /// Sets the shift before the layer uses it.
        let setShift (convolution: SignConvolution) input =
            match convolution.Shift with
            | None -> ()
            | Some key ->
                let mean, _ = channels input
                tensors[key].copy_((mean.Times -convolution.Beta).reshape tensors[key].shape) |> ignore
                shifts.Add(key, tensors[key].detach().clone().DetachFromDisposeScope())

        let measure (x: torch.Tensor, known) (index, block) =
            let known = if Blocks.isResidual block then snd (channels x) :: known else known
            let graph = graph net known index
            let layers = dict [ for layer in Graph.layers graph -> layer.Name, layer.Convolution ]
            engine.Run(Evaluate, graph, { ForwardHook.none with Layer = fun name -> setShift layers[name] }, x), known

        let _, variances = ((images, []), List.indexed net.Blocks) ||> List.fold measure

        { Net = net |> Net.withExpectedVariance (ExpectedVariance.Measured(List.rev variances))
          Shifts = List.ofSeq shifts }

    /// <summary>At most <c>count</c> random training images, which the seed selects, preprocessed as test images for the network.</summary>
    /// <remarks>Throws DataException if none of them can be read.</remarks>
    let images (runOptions: RunOptions) task (recipe: Recipe) (source: ImageSource) network count =
        let order = Loader.shuffled recipe.Seed 0 source.Count |> Array.truncate count
        let options = Evaluation.loading runOptions task count
        let batch = Loader.read options source order |> Seq.head
        fst (Evaluation.tensors network batch)

    /// <summary>Measures a network, whose weights `setWeights` sets after their random initialisation, on 256 random training images, as
    /// <c>images</c> returns them.</summary>
    /// <remarks>Throws DataException if none of them can be read.</remarks>
    let measure
        (runOptions: RunOptions)
        (task: ImageTask)
        (recipe: Recipe)
        (source: ImageSource)
        (net: NetSpec)
        (setWeights: Network -> unit)
        : MeasuredInit =
        use network = Network.create torch.ScalarType.Float32 recipe.Deviations.BinaryInit recipe.Seed net
        setWeights network
        use scope = torch.NewDisposeScope()
        images runOptions task recipe source network measuredImages |> ofImages network

    /// <summary>Copies the measured shifts into a network.</summary>
    let apply (measured: MeasuredInit) (network: Network) =
        use _ = torch.no_grad ()
        let tensors = dict network.Tensors

        for key, shift in measured.Shifts do
            tensors[key].copy_ shift |> ignore
