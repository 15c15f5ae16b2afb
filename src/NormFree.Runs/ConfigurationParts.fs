namespace NormFree.Runs

open System
open NormFree.Data
open NormFree.Spec

/// <summary>The network of a run.</summary>
[<RequireQualifiedAccess>]
type NetworkConfiguration =
    {
        /// Its name, for example <c>reactnet-18</c>.
        Architecture: string
        /// None for full-precision networks.
        Norm: Norm option
        /// The weights of 1×1 shortcuts in stage 2. None uses the architecture's.
        Shortcut: WeightBinariser option
        /// The gradient of every sign. None keeps the network's own.
        Sign: SignGradient option
        /// The slopes of every RPReLU. None keeps the network's own.
        Slopes: SlopeKind option
        /// None chooses the stem by the image size.
        Stem: StemKind option
        /// The factor of the table's channels. None if a script built the network.
        Width: float option
        /// The factor of the table's layers. None if a script built the network.
        Depth: float option
        /// A network that is no table of this version, from a file or a script.
        Spec: NetSpec option
    }

    /// <summary>A network of which only the name is chosen.</summary>
    static member Of name : NetworkConfiguration =
        { Architecture = name
          Norm = None
          Shortcut = None
          Sign = None
          Slopes = None
          Stem = None
          Width = None
          Depth = None
          Spec = None }

/// <summary>The images of a run.</summary>
[<RequireQualifiedAccess>]
type DatasetConfiguration =
    {
        /// None if a script opened the data set.
        Kind: DatasetKind option
        /// The folder, archive or file. The synthetic data set has none.
        Path: string option
        /// The side of the images in pixels. None uses the data set's own.
        Size: int option
        /// The number of training images, balanced over the classes. None uses all.
        Limit: int option
        /// The number of test images, balanced over the classes. None uses all.
        TestLimit: int option
        /// The folder of the training images. None finds it by its name.
        TrainSplit: string option
        /// The folder of the test images. None finds it by its name.
        TestSplit: string option
        /// The split of EMNIST. None uses the only one that there is.
        EmnistSplit: EmnistSplit option
        /// A file with the name of one class in each line. None uses the data set's own names.
        ClassNames: string option
        /// Whether more than half of a class may be left out. None is false.
        AllowLeftOut: bool option
        /// How images are brought to the network's size for testing. None uses the data set's own steps.
        Preprocessing: Augment list option
        /// None uses the data set's own.
        Normalisation: Normalisation option
        /// What is added to the data set's training steps. None adds nothing.
        Augment: ExtraAugment list option
    }

    /// <summary>Nothing is chosen.</summary>
    static member Empty: DatasetConfiguration =
        { Kind = None
          Path = None
          Size = None
          Limit = None
          TestLimit = None
          TrainSplit = None
          TestSplit = None
          EmnistSplit = None
          ClassNames = None
          AllowLeftOut = None
          Preprocessing = None
          Normalisation = None
          Augment = None }

/// <summary>How the work of a run is done.</summary>
[<RequireQualifiedAccess>]
type ExecutionConfiguration =
    {
        Device: Device
        Engine: Engine
        Precision: NormFree.Runs.Precision
        /// Threads that compute. None uses all processors.
        Threads: int option
        /// Threads that decode images. None uses all processors but one.
        Workers: int option
        /// Whether an image that cannot be read ends the run.
        Strict: bool
        /// How many of the last checkpoints of each stage are kept.
        Keep: int
        /// The longest time between two checkpoints, in minutes.
        CheckpointEvery: float
        OnNonFinite: OnNonFinite
        Telemetry: Sampling
        /// Parts in which the gradients of a batch are computed, one after another.
        Accumulate: int
    }

/// <summary>Facts about the network and the images of a run, known once both exist. They are no settings.</summary>
[<RequireQualifiedAccess>]
type RunFacts =
    {
        /// The stem in words.
        Stem: string
        Classes: int
        Layers: int
        /// None for full-precision networks.
        ExpectedVariance: string option
        /// None for full-precision networks.
        BinaryGain: string option
        Dataset: string
        ImageSize: int
        TrainingImages: int
        TestImages: int
        Augmentation: string
    }

/// <summary>The machine and the software that computed a run.</summary>
[<RequireQualifiedAccess>]
type RunEnvironment =
    {
        NormFree: string
        TorchSharp: string
        DotNet: string
        System: string
        Processors: int
        /// The processor's name and the instruction set of the kernels.
        Processor: string
        /// None if the network is on the CPU.
        Gpu: string option
        Device: Device
        Engine: Engine
        Precision: NormFree.Runs.Precision
        TorchThreads: int
        Ranks: int
        Accumulate: int
    }
