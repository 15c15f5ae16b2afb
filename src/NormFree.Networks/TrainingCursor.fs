namespace NormFree.Networks

open NormFree.Data
open NormFree.Runs
open NormFree.Torch.Training
open TorchSharp

/// <summary>Sums over images, from which means are made.</summary>
type Sums =
    {
        /// Nats.
        LossSum: float
        /// Images whose class came first, and whose class came among the first five.
        First: int64
        AmongFive: int64
        Seen: int
    }

    /// <summary>Of no image.</summary>
    static member Zero = { LossSum = 0.0; First = 0L; AmongFive = 0L; Seen = 0 }

    /// <summary>Of the images of both.</summary>
    static member (+)(a: Sums, b: Sums) =
        { LossSum = a.LossSum + b.LossSum
          First = a.First + b.First
          AmongFive = a.AmongFive + b.AmongFive
          Seen = a.Seen + b.Seen }

    /// <summary>The means.</summary>
    member s.Accuracy: Accuracy =
        let n = float (max 1 s.Seen)

        { Loss = s.LossSum / n; Top1 = float s.First / n; Top5 = float s.AmongFive / n; Images = s.Seen }

    /// <summary>With a batch counted: its logits, labels and mean loss.</summary>
    member s.Add(logits: torch.Tensor, labels: torch.Tensor, meanLoss: float) =
        use _ = torch.NewDisposeScope()
        let count = int logits.shape[0]
        // The rank of the right class: how many others have a higher logit. NaN is no "not higher" one: a network of NaN is never right.
        let ofLabel = logits.gather (1L, labels.unsqueeze 1L)
        let ranks = logits.le(ofLabel).logical_not().sum(1L).cpu().data<int64>().ToArray()
        let below bound = ranks |> Array.filter (fun rank -> rank < bound) |> Array.length |> int64

        { LossSum = s.LossSum + meanLoss * float count
          First = s.First + below 1L
          AmongFive = s.AmongFive + below 5L
          Seen = s.Seen + count }

/// <summary>Where in a stage a training stands: with weights and the optimiser's state, all that is needed to go on bit for bit.</summary>
/// <remarks>Random streams are keyed by stage, epoch and image, and need no state of their own.</remarks>
type TrainingCursor =
    {
        /// The epoch under way, from 0.
        Epoch: int
        /// How much of the epoch's images is done.
        Progress: LoaderProgress
        /// Batches of the epoch that are done.
        Step: int
        /// Over the epoch's images so far, as they were seen.
        Sums: Sums
        /// Of each parameter that clipping reaches: units so far, and those clipped.
        Clipped: (string * int64 * int64) list
        /// The learning rate of the last step.
        Rate: float
        /// The sum over the epoch's steps of the gradient's norm.
        Norms: float
        /// What was noticed in the epoch so far.
        Health: Health
        /// Batches left out one after the other, until now.
        SkippedInARow: int
        /// Wall time of the epoch's training.
        Seconds: float
    }

/// <summary>Positions.</summary>
[<RequireQualifiedAccess>]
module TrainingCursor =

    /// <summary>The begin of an epoch, from 0.</summary>
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

    /// <summary>The counts of clipping by parameter.</summary>
    let clipCounts (position: TrainingCursor) =
        [ for key, units, clipped in position.Clipped -> key, ClipCount(units, clipped) ]

    /// <summary>The position with those counts.</summary>
    let withClipCounts (counts: (string * ClipCount) list) (position: TrainingCursor) =
        { position with Clipped = [ for key, count in counts -> key, count.Units, count.Clipped ] }

    /// Issues of an epoch that are kept.
    let private keptTroubles = 20

    /// <summary>The position with one more thing noticed.</summary>
    let noticing trouble (position: TrainingCursor) =
        let troubles = List.truncate keptTroubles (position.Health.Issues @ [ trouble ])
        { position with Health = { position.Health with Issues = troubles } }

    /// <summary>In words, for people, as in <c>epoch 2, step 17</c>: what is done.</summary>
    let words (position: TrainingCursor) = $"epoch {position.Epoch + 1}, step {position.Step}"
