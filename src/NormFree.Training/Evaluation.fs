namespace NormFree.Training

open NormFree.Data
open NormFree.Torch.Training
open TorchSharp

/// <summary>Batches as tensors, and the accuracy of a network on them.</summary>
[<RequireQualifiedAccess>]
module Evaluation =

    /// A batch's images (N×3×S×S, of the network's type) and labels, where the network is.
    let internal tensors (network: Network) (batch: Batch) =
        let shape = [| int64 batch.Count; 3L; int64 batch.Side; int64 batch.Side |]
        let parameter = snd network.Parameters.Head

        torch.tensor(batch.Images).reshape(shape).``to``(parameter.dtype, parameter.device),
        torch.tensor(batch.Labels).``to`` parameter.device

    /// The loader's options for images as a test sees them.
    let internal loading (around: Surroundings) (task: Task) batch =
        { BatchSize = batch
          Workers = around.Workers
          Prefetch = around.Workers + 2
          Steps = task.Preparation
          Normalisation = task.Normalisation
          Side = task.Size
          Seed = 0L
          Epoch = 0
          From = ReadSoFar.None
          Strict = around.Strict
          Report = ImageSkipped >> around.Watch
          Cancellation = around.Cancellation }

    let private evaluateBatch (network: Network) (sums: Sums) batch =
        use _ = torch.NewDisposeScope()
        use _ = torch.no_grad ()
        let images, labels = tensors network batch
        let logits = network.Forward(images, Evaluate)
        sums.Add(logits, labels, Losses.CrossEntropy(logits, labels).``to``(torch.ScalarType.Float64).item<float>())

    /// <summary>Loss, top-1 and top-5 of a network on a source of labelled images, prepared as the task says.</summary>
    /// <remarks>Throws DataException where not one image can be read, or where one cannot and the surroundings are strict.</remarks>
    let accuracy (around: Surroundings) (task: Task) batch (network: Network) (source: ImageSource) : Accuracy =
        let sums =
            Loader.read (loading around task batch) source (Loader.inOrder source.Count)
            |> Seq.fold (evaluateBatch network) Sums.Zero

        sums.Accuracy
