namespace NormFree.Training

open System
open NormFree.Data
open NormFree.Inference
open NormFree.Networks
open NormFree.Packing
open NormFree.Runs
open NormFree.Torch.Training
open TorchSharp

/// <summary>Evaluates networks on labelled images.</summary>
[<RequireQualifiedAccess>]
module Evaluation =

    /// A batch's images (N×3×S×S) and labels (N) as CPU tensors.
    let private onCpu (batch: Batch) =
        let shape = [| int64 batch.Count; 3L; int64 batch.Side; int64 batch.Side |]
        torch.tensor(batch.Images).reshape shape, torch.tensor batch.Labels

    /// The shares of all classes in mixed images (N×classes).
    let private shares classes (batch: Batch) =
        let shares: float32[] = Array.zeroCreate (batch.Count * classes)

        for i in 0 .. batch.Count - 1 do
            let add label share = shares[i * classes + int label] <- shares[i * classes + int label] + share
            add batch.Labels[i] batch.Shares[i]
            add batch.Partners[i] (1.0f - batch.Shares[i])

        torch.tensor(shares).reshape(int64 batch.Count, int64 classes)

    /// A batch's images and labels with the network's element type and device. Labels of mixed images are shares of the classes.
    let internal tensors (network: Network) (batch: Batch) =
        let images, labels = onCpu batch
        let parameter = snd network.Parameters.Head
        let images = images.``to`` (parameter.dtype, parameter.device)

        if batch.Shares.Length = 0 then
            images, labels.``to`` parameter.device
        else
            images, (shares network.Spec.Classes batch).``to``(parameter.dtype, parameter.device)

    /// Loader options for test images.
    let internal loading (runOptions: RunOptions) (task: ImageTask) batch =
        { BatchSize = batch
          Workers = runOptions.Workers
          Prefetch = runOptions.Workers + 2
          Steps = task.Preprocessing
          Normalisation = task.Normalisation
          Side = task.Size
          Seed = 0L
          Epoch = 0
          From = LoaderProgress.None
          Strict = runOptions.Strict
          Report = ImageSkipped >> runOptions.OnEvent
          Cancellation = runOptions.Cancellation }

    let private evaluateBatch (logits: torch.Tensor -> torch.Tensor) (sums: Sums) (images, labels) =
        let logits = logits images
        sums.Add(logits, labels, Losses.CrossEntropy(logits, labels).``to``(torch.ScalarType.Float64).item<float>())

    let private accuracyOf (runOptions: RunOptions) (task: ImageTask) batch tensors logits (source: ImageSource) =
        let add sums (batch: Batch) =
            use _ = torch.NewDisposeScope()
            use _ = torch.no_grad ()
            evaluateBatch (logits batch) sums (tensors batch)

        let failures = ResizeArray()
        let options = { loading runOptions task batch with Report = failures.Add }
        let mine = Shard.take (Collectives.shard runOptions.Ranks) (Loader.inOrder source.Count)

        let sums =
            Loader.readShard Shard.Whole options source mine
            |> Seq.filter (fun batch -> batch.Count > 0)
            |> Seq.fold add Sums.Zero

        let failures = Collectives.unreadable runOptions.Ranks 0 (List.ofSeq failures)
        failures |> List.iter (ImageSkipped >> runOptions.OnEvent)
        Loader.requireReadable source.Count failures.Length (List.tryHead failures)
        (Collectives.startSum runOptions.Ranks sums ()).Accuracy

    /// <summary>Loss, top-1 and top-5 of a network on labelled images. Each rank evaluates its shard.</summary>
    /// <remarks>Throws DataException if no image can be read, or if <c>Strict</c> is set and any image cannot.</remarks>
    let accuracy (runOptions: RunOptions) (task: ImageTask) batch (network: Network) (source: ImageSource) : Accuracy =
        accuracyOf runOptions task batch (tensors network) (fun _ images -> network.Forward(images, Evaluate)) source

    /// The same for a loaded network. `observe` gets each batch of this rank with its logits (Count×classes, row-major).
    let internal observedAccuracy observe (runOptions: RunOptions) batch (network: LoadedNetwork) source : Accuracy =
        let logits batch (images: torch.Tensor) =
            let height, width = int (images.size 2), int (images.size 3)
            let logits = network.Logits (images.data<float32>().ToArray()) height width runOptions.Cancellation
            FiniteLogits.require "a test image" network.ImageTask.Classes logits
            observe (batch, logits)
            torch.tensor(logits).reshape(images.size 0, -1L)

        // The data set may have images of another size than the one that the network was trained on.
        let task = { network.ImageTask with Preprocessing = network.ImageTask.PreprocessingOfAnySize }
        accuracyOf runOptions task batch onCpu logits source

    /// <summary>The same for a loaded network, of any engine.</summary>
    /// <remarks>Throws as <c>accuracy</c> does, and TrainingException if a logit is NaN or infinite.</remarks>
    let accuracyOfLoaded runOptions batch network source : Accuracy =
        observedAccuracy ignore runOptions batch network source

    /// <summary>The same for a packed network.</summary>
    let packedAccuracy
        (runOptions: RunOptions)
        (task: ImageTask)
        batch
        (network: PackedNetwork)
        (source: ImageSource)
        : Accuracy =
        accuracyOfLoaded runOptions batch (LoadedNetwork.ofPacked task network) source

    /// <summary>The batches of a source, each with its logits (Count×classes, row-major).</summary>
    /// <remarks>Throws as <c>accuracy</c> does.</remarks>
    let logits (runOptions: RunOptions) (task: ImageTask) batch (network: Network) (source: ImageSource) =
        Loader.read (loading runOptions task batch) source (Loader.inOrder source.Count)
        |> Seq.map (fun batch ->
            use _ = torch.NewDisposeScope()
            use _ = torch.no_grad ()
            let logits = network.Forward(fst (tensors network batch), Evaluate)
            batch, logits.``to``(torch.ScalarType.Float32).cpu().contiguous().data<float32>().ToArray())

    /// <summary>The first images of a source, N×3×S×S, preprocessed and normalised.</summary>
    /// <remarks>Throws DataException as <c>accuracy</c> does, and if the source has no images.</remarks>
    let first (runOptions: RunOptions) (task: ImageTask) count (source: ImageSource) : torch.Tensor =
        let order = Loader.inOrder (min count source.Count)
        Loader.read (loading runOptions task count) source order |> Seq.head |> onCpu |> fst
