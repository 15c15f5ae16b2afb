namespace NormFree.Training

open System
open NormFree.Data
open NormFree.Networks
open NormFree.Runs

/// <summary>Marks a network whose weights are real: what stage 1 gives.</summary>
[<AbstractClass; Sealed>]
type RealWeights = class end

/// <summary>Marks a network whose weights are binary: what stage 2 gives.</summary>
[<AbstractClass; Sealed>]
type BinaryWeights = class end

/// <summary>Images, and where and how the work on them is done.</summary>
type Plan =
    { Dataset: Dataset
      Folder: RunFolder option
      Label: string
      Arguments: string list
      /// The settings that the run was started with; None derives them from the network, the images and the options.
      Configuration: RunConfiguration option
      Options: RunOptions }

/// <summary>A network after a stage; its type says whether its weights are binary.</summary>
/// <remarks>Dispose it, or hand it to the next stage, which does.</remarks>
type Trained<'weights> =
    {
        Plan: Plan
        Network: Network
        /// Stages so far.
        Stages: int
        Configuration: RunConfiguration
        /// Where the training stands: at the end of its last stage.
        State: TrainingState
    }

    /// <summary>The recipe of the last stage.</summary>
    member t.Recipe = t.State.Recipe

    /// <summary>The epochs of all stages.</summary>
    member t.History = t.State.History

    interface IDisposable with
        member t.Dispose() = (t.Network :> IDisposable).Dispose()
