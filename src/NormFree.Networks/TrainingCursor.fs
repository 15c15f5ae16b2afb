namespace NormFree.Networks

open NormFree.Data
open NormFree.Runs
open NormFree.Torch.Training
open TorchSharp

/// <summary>Sums over images, for computing means.</summary>
type Sums =
    {
        /// Nats.
        LossSum: float
        /// Images whose class is the top prediction, and among the top five.
        First: int64
        AmongFive: int64
        Seen: int
    }

    /// <summary>No images.</summary>
    static member Zero = { LossSum = 0.0; First = 0L; AmongFive = 0L; Seen = 0 }

    /// <summary>The images of both.</summary>
    static member (+)(a: Sums, b: Sums) =
        { LossSum = a.LossSum + b.LossSum
          First = a.First + b.First
          AmongFive = a.AmongFive + b.AmongFive
          Seen = a.Seen + b.Seen }

    /// <summary>The means.</summary>
    member s.Accuracy: Accuracy =
        let n = float (max 1 s.Seen)

        { Loss = s.LossSum / n; Top1 = float s.First / n; Top5 = float s.AmongFive / n; Images = s.Seen }

    /// <summary>Adds a batch: its logits, labels and mean loss. Labels are N classes, or N×K shares, of which the largest counts.</summary>
    member s.Add(logits: torch.Tensor, labels: torch.Tensor, meanLoss: float) =
        use _ = torch.NewDisposeScope()
        let count = int logits.shape[0]
        let labels = if labels.dim () = 2L then labels.argmax 1L else labels
        // The rank of the right class: the number of other classes that are not at or below its logit. NaN counts as above, so it is never right.
        let ofLabel = logits.gather (1L, labels.unsqueeze 1L)
        let ranks = logits.le(ofLabel).logical_not().sum(1L).cpu().data<int64>().ToArray()
        let below bound = ranks |> Array.filter (fun rank -> rank < bound) |> Array.length |> int64

        { LossSum = s.LossSum + meanLoss * float count
          First = s.First + below 1L
          AmongFive = s.AmongFive + below 5L
          Seen = s.Seen + count }

/// <summary>The place of a training in its stage. With weights and the optimiser's state it is all that is needed to resume bit for bit.</summary>
/// <remarks>Random streams are keyed by stage, epoch and image and have no state.</remarks>
type TrainingCursor =
    {
        /// The current epoch, from 0.
        Epoch: int
        /// The images of the epoch that are done.
        Progress: LoaderProgress
        /// Batches of the epoch that are done.
        Step: int
        /// Over the epoch's images so far.
        Sums: Sums
        /// For each clipped parameter: units so far, and clipped units.
        Clipped: (string * int64 * int64) list
        /// The learning rate of the last step.
        Rate: float
        /// The sum over the epoch's steps of the gradient's norm.
        Norms: float
        /// Numerical issues of the epoch so far.
        Health: Health
        /// Batches skipped in a row until now.
        SkippedInARow: int
        /// Wall time of the epoch's training.
        Seconds: float
    }

/// <summary>Functions of cursors.</summary>
[<RequireQualifiedAccess>]
module TrainingCursor =

    /// <summary>The start of an epoch, from 0.</summary>
    let startOf epoch =
        { Epoch = epoch
          Progress = LoaderProgress.None
          Step = 0
          Sums = Sums.Zero
          Clipped = []
          Rate = 0.0
          Norms = 0.0
          Health = { Skipped = 0; RolledBack = 0; Issues = []; OneSign = [] }
          SkippedInARow = 0
          Seconds = 0.0 }

    /// <summary>The clip counts by parameter.</summary>
    let clipCounts (position: TrainingCursor) =
        [ for key, units, clipped in position.Clipped -> key, ClipCount(units, clipped) ]

    /// <summary>The cursor with these clip counts.</summary>
    let withClipCounts (counts: (string * ClipCount) list) (position: TrainingCursor) =
        { position with Clipped = [ for key, count in counts -> key, count.Units, count.Clipped ] }

    /// Issues of an epoch that are kept.
    let private keptIssues = 20

    /// <summary>The cursor with another issue; the first twenty are kept.</summary>
    let noticing trouble (position: TrainingCursor) =
        let troubles = List.truncate keptIssues (position.Health.Issues @ [ trouble ])
        { position with Health = { position.Health with Issues = troubles } }

    /// <summary>A description for people, such as <c>epoch 2, step 17</c>.</summary>
    let describe (position: TrainingCursor) = $"epoch {position.Epoch + 1}, step {position.Step}"
