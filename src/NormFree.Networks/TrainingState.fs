namespace NormFree.Networks

open NormFree.Data
open NormFree.Runs
open TorchSharp

/// <summary>What a network needs to know about its images. It is stored with the weights, so that they can be used without the data set.</summary>
type ImageTask =
    {
        /// The data set's name.
        Dataset: string
        /// Class names by number.
        Classes: string[]
        /// Pixels along a side.
        Size: int
        Normalisation: Normalisation
        /// How test images are brought to Size×Size; empty if they have that size.
        Preprocessing: Augment list
    }

    /// <summary>The task of a network that is trained on a data set.</summary>
    static member Of(dataset: Dataset) : ImageTask =
        { Dataset = dataset.Name
          Classes = dataset.Classes
          Size = dataset.Size
          Normalisation = dataset.Normalisation
          Preprocessing = dataset.Augmentation.Test }

    /// <summary>The preprocessing of images of any size. Data sets of one image size have none of their own: the shorter side is resized, and the
    /// centre cropped, which does not change images of the right size.</summary>
    member task.PreprocessingOfAnySize =
        match task.Preprocessing with
        | [] -> [ ResizeShort task.Size; CentreCrop task.Size ]
        | preprocessing -> preprocessing

/// <summary>Identifies the images of a run: fingerprints of both sets, and the augmentation of training images.</summary>
type ImagesUsed = { Train: string; Test: string; Augmentation: Augment list }

/// <summary>The state of a training: what is needed to resume it, besides weights and the optimiser's tensors.</summary>
type TrainingState =
    {
        Recipe: Recipe
        Stage: string
        /// The finished epochs, oldest first, including those of an earlier stage.
        History: EpochRecord list
        /// Where in the stage.
        TrainingCursor: TrainingCursor
        /// None if unknown, as for imported weights.
        Images: ImagesUsed option
        /// TorchSharp's number of threads. Another number rounds sums differently.
        Threads: int
        /// How the network was computed; None for imported weights.
        Execution: Execution option
        /// The processor and its instruction set, which decide the order of sums, and the GPU if one is used; None for imported weights.
        Machine: string option
        /// How batches are partitioned; None for imported weights.
        BatchPartition: BatchPartition option
        /// Each time that the run resumed with other arithmetic or by another method: where, from what to what.
        Changes: string list
        /// The fingerprint of the teacher, whose file may move; None without a teacher.
        Teacher: string option
        /// <c>RecipeMethod.number</c> when the training started; None for imported weights.
        Method: int option
    }

    /// <summary>A state of which only recipe and stage are known, as for imported weights.</summary>
    static member Of(recipe: Recipe, stage: string) : TrainingState =
        { Recipe = recipe
          Stage = stage
          History = []
          TrainingCursor = TrainingCursor.startOf 0
          Images = None
          Threads = torch.get_num_threads ()
          Execution = None
          Machine = None
          BatchPartition = None
          Changes = []
          Teacher = None
          Method = None }

    /// <summary>What decides the rounding of sums, for people.</summary>
    member s.Arithmetic =
        let execution = s.Execution |> Option.defaultValue Execution.Portable
        let partition = s.BatchPartition |> Option.defaultValue BatchPartition.Whole

        [ $"engine {Json.name execution.Engine}"
          $"precision {Json.name execution.Precision}"
          $"threads {s.Threads}"
          yield! partition.Description ]
        |> String.concat ", "

    /// <summary>Whether sums are rounded as in another state, as far as that is known.</summary>
    member s.RoundsAs(other: TrainingState) =
        let sameMachine = s.Machine.IsNone || other.Machine.IsNone || s.Machine = other.Machine
        sameMachine && s.Arithmetic = other.Arithmetic
