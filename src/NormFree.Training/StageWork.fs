namespace NormFree.Training

open System.Threading
open NormFree.Data
open NormFree.Networks
open NormFree.Runs
open NormFree.Torch.Training
open TorchSharp

/// A stage under way. The position is always one to go on from: it changes between two steps only.
type internal StageWork =
    {
        Options: RunOptions
        Job: StageJob
        Network: Network
        Optimisation: Optimisation
        TrainingStep: TrainingStep
        CheckpointWriter: CheckpointWriter
        Recorder: Recorder
        /// Cancels the surroundings' token: at the wish of whoever runs a process that works alone, and of any rank once all know of it.
        Stop: CancellationTokenSource
        mutable TrainingCursor: TrainingCursor
        /// Behind the last batch of which an image could be read: whoever goes on from here reads those that could not be read since once more.
        mutable Read: TrainingCursor
    }

[<RequireQualifiedAccess>]
module internal StageWork =

    let trouble (work: StageWork) layer (batch: int list) what =
        { Stage = work.Job.Name
          Epoch = work.TrainingCursor.Epoch + 1
          Step = work.TrainingCursor.Step + 1
          Layer = layer
          Batch = batch
          What = what }

    let notice (work: StageWork) trouble =
        work.TrainingCursor <- TrainingCursor.noticing trouble work.TrainingCursor
        work.Options.Watch(NumericalIssueFound trouble)

    /// The position with what the optimiser counts.
    let whole (work: StageWork) = TrainingCursor.withClipCounts work.Optimisation.ClipCounts work.TrainingCursor

    /// Ranks that have different things would go on to different networks.
    let requireSame (work: StageWork) remedy =
        Collectives.requireSame
            work.Options.Ranks
            remedy
            [ "weights", (fun () -> Fingerprint.ofTensors work.Network.Tensors)
              "state of the optimiser", (fun () -> Fingerprint.ofTensors work.Optimisation.State) ]

    let loading (work: StageWork) report =
        let job, runOptions = work.Job, work.Options

        { BatchSize = job.Recipe.Batch
          Workers = runOptions.Workers
          Prefetch = runOptions.Workers + 2
          Steps = job.Dataset.Augmentation.Train
          Normalisation = job.Dataset.Normalisation
          Side = job.Dataset.Size
          Seed = job.Recipe.Seed
          Epoch = StageImages.streamOf job work.TrainingCursor.Epoch
          From = work.TrainingCursor.Progress
          Strict = runOptions.Strict
          Report = report
          Cancellation = runOptions.Cancellation }
