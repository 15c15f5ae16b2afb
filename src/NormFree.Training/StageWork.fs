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
        Around: Surroundings
        Job: StageJob
        Network: Network
        Optimisation: Optimisation
        TrainingStep: TrainingStep
        Keeper: Keeper
        Recorder: Recorder
        /// Cancels the surroundings' token: at the wish of whoever runs a process that works alone, and of any rank once all know of it.
        Stop: CancellationTokenSource
        mutable Position: Position
        /// Behind the last batch of which an image could be read: whoever goes on from here reads those that could not be read since once more.
        mutable Read: Position
    }

[<RequireQualifiedAccess>]
module internal StageWork =

    let trouble (work: StageWork) layer (batch: int list) what =
        { Stage = work.Job.Name
          Epoch = work.Position.Epoch + 1
          Step = work.Position.Step + 1
          Layer = layer
          Batch = batch
          What = what }

    let notice (work: StageWork) trouble =
        work.Position <- Position.noticing trouble work.Position
        work.Around.Watch(Unhealthy trouble)

    /// The position with what the optimiser counts.
    let whole (work: StageWork) = Position.withClipCounts work.Optimisation.ClipCounts work.Position

    /// Ranks that have different things would go on to different networks.
    let requireSame (work: StageWork) wayOut =
        Together.requireSame
            work.Around.Ranks
            wayOut
            [ "weights", (fun () -> Fingerprint.ofTensors work.Network.Tensors)
              "state of the optimiser", (fun () -> Fingerprint.ofTensors work.Optimisation.State) ]

    let loading (work: StageWork) report =
        let job, around = work.Job, work.Around

        { BatchSize = job.Recipe.Batch
          Workers = around.Workers
          Prefetch = around.Workers + 2
          Steps = job.Dataset.Augmentation.Train
          Normalisation = job.Dataset.Normalisation
          Side = job.Dataset.Size
          Seed = job.Recipe.Seed
          Epoch = StageImages.streamOf job work.Position.Epoch
          From = work.Position.SoFar
          Strict = around.Strict
          Report = report
          Cancellation = around.Cancellation }
