namespace NormFree.Training

open System
open System.Collections.Generic
open NormFree.Data
open NormFree.Networks
open NormFree.Runs
open NormFree.Spec
open NormFree.Torch
open TorchSharp

/// <summary>A network as a first batch of images has it begin: constants by measured variances, and shifts, by their keys.</summary>
/// <remarks>Dispose it to free the shifts.</remarks>
type internal MeasuredInit =
    { Net: NetSpec
      Shifts: (string * torch.Tensor) list }

    interface IDisposable with
        member s.Dispose() =
            for _, shift in s.Shifts do
                shift.Dispose()

/// <summary>The data-dependent start (deviation 6 of the method), layer by layer: β = 1/√v with the measured mean v of the channels' variances,
/// and b = −β·mean, so that what is signed has mean 0 in every channel and variance 1 on average over them.</summary>
/// <remarks>After Salimans and Kingma, "Weight normalization" (NeurIPS 2016), section 3, and Mishkin and Matas, "All you need is a good init"
/// (ICLR 2016). Layers see what those before them give with what was measured of them.</remarks>
[<RequireQualifiedAccess>]
module internal DataDependentInit =

    /// What is the same everywhere counts as something of this variance: nothing may be divided by 0.
    let smallestVariance = 1e-6

    /// Images that are measured.
    let private images = 256

    /// <summary>Whether the network has constants that the start could set.</summary>
    let concerns net =
        match Net.binaryBody net |> Option.map _.Norm with
        | Some(BnFree _ | Scaled _) -> true
        | Some(BatchNorm | NoNorm)
        | None -> false

    /// The means of the channels, 1×C×1×1, and the mean of their variances.
    let private channels (x: torch.Tensor) =
        let dimensions = [| 0L; 2L; 3L |]
        let mean: torch.Tensor = x.mean (dimensions, true)
        let variance: torch.Tensor = x.``var`` (dimensions, false, true)
        mean, max smallestVariance (float (variance.mean().item<float32>()))

    /// The graph of a part of the network, with what is known of the variances so far.
    let private part net layers known index =
        let unknown = List.replicate (layers - List.length known) 1.0
        let net = net |> Net.withExpectedVariance (ExpectedVariance.Measured(List.rev known @ unknown))
        Lowering.parts net |> List.item index |> snd

    let private shiftOf graph =
        Fusion.parts graph
        |> List.pick (function
            | Layer layer -> Some layer.Convolution.Shift
            | Plain _ -> None)

    /// <summary>Measures a network that was just created, on images (N×3×H×W) as an evaluation prepares them, and changes its shifts on the way.</summary>
    let ofImages (network: Network) (images: torch.Tensor) : MeasuredInit =
        use _ = torch.NewDisposeScope()
        use _ = torch.no_grad ()
        let net, tensors = network.Spec, Dictionary(dict network.Tensors)
        let layers = (Net.binaryBody net |> Option.get).Layers.Length
        let engine = CompositeEngine(Convolutions.plain tensors, tensors)
        let run (graph: Graph) (x: torch.Tensor) = engine.Run(Evaluate, graph, x)

        let measure (x: torch.Tensor, known, shifts) index =
            let mean, variance = channels x
            let known = variance :: known
            let graph = part net layers known index
            let key = shiftOf graph
            tensors[key].copy_((mean.Times(-1.0 / sqrt variance)).reshape tensors[key].shape) |> ignore
            run graph x, known, (key, tensors[key].detach().clone().DetachFromDisposeScope()) :: shifts

        let _, variances, shifts =
            ((run (part net layers [] 0) images, [], []), [ 1..layers ]) ||> List.fold measure

        { Net = net |> Net.withExpectedVariance (ExpectedVariance.Measured(List.rev variances))
          Shifts = shifts }

    /// <summary>The start of a fresh network on 256 training images that the seed chooses, prepared as for an evaluation.</summary>
    /// <remarks>Throws DataException where none of them can be read.</remarks>
    let measure
        (runOptions: RunOptions)
        (task: ImageTask)
        (recipe: Recipe)
        (source: ImageSource)
        (net: NetSpec)
        : MeasuredInit =
        use network = Network.create torch.ScalarType.Float32 recipe.Deviations.BinaryInit recipe.Seed net
        let order = Loader.shuffled recipe.Seed 0 source.Count |> Array.truncate images
        let options = Evaluation.loading runOptions task images
        use scope = torch.NewDisposeScope()
        let batch = Loader.read options source order |> Seq.head
        ofImages network (fst (Evaluation.tensors network batch))

    /// <summary>Gives a network the measured shifts.</summary>
    let apply (start: MeasuredInit) (network: Network) =
        use _ = torch.no_grad ()
        let tensors = dict network.Tensors

        for key, shift in start.Shifts do
            tensors[key].copy_ shift |> ignore
