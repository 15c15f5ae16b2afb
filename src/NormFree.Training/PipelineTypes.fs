namespace NormFree.Training

open System
open NormFree.Data
open NormFree.Networks
open NormFree.Runs

/// <summary>Marks a network with real weights: the result of stage 1.</summary>
[<AbstractClass; Sealed>]
type RealWeights = class end

/// <summary>Marks a network with binary weights: the result of stage 2.</summary>
[<AbstractClass; Sealed>]
type BinaryWeights = class end

/// <summary>The images of a training, its run folder and its options.</summary>
type Plan =
    {
        Dataset: Dataset
        Folder: RunFolder option
        Label: string
        Arguments: string list
        /// The settings that the run was started with; None derives them from the network, the images and the options.
        Configuration: RunConfiguration option
        Options: RunOptions
        /// Where the images of a resumed run are now, and where they were; None if they have not moved.
        DataMoved: string option
    }

/// <summary>A network after a stage; its type says whether its weights are binary.</summary>
/// <remarks>Dispose it, or pass it to the next stage, which disposes it.</remarks>
type Trained<'weights> =
    {
        Plan: Plan
        Network: Network
        /// The number of the last stage.
        Stages: int
        Configuration: RunConfiguration
        /// The state at the end of the last stage.
        State: TrainingState
    }

    /// <summary>The recipe of the last stage.</summary>
    member t.Recipe = t.State.Recipe

    /// <summary>The epochs of all stages.</summary>
    member t.History = t.State.History

    interface IDisposable with
        member t.Dispose() = (t.Network :> IDisposable).Dispose()
