namespace NormFree.Zoo;

/// <summary>What is known about a network of the zoo. <c>normfree zoo add</c> measures it.</summary>
public sealed record ModelCard
{
    /// <summary>The network's name in the zoo, for example <c>cifar10-reactnet18</c>.</summary>
    public required string Name { get; init; }

    /// <summary>What the network does, in one sentence.</summary>
    public required string Task { get; init; }

    /// <summary>The architecture, its parameters and its operations.</summary>
    public required CardNetwork Network { get; init; }

    /// <summary>The images.</summary>
    public required CardData Data { get; init; }

    /// <summary>How an image becomes the network's input.</summary>
    public required string Preprocessing { get; init; }

    /// <summary>How the network was trained.</summary>
    public required CardTraining Training { get; init; }

    /// <summary>The accuracy of the packed file on all test images.</summary>
    public required CardAccuracy Accuracy { get; init; }

    /// <summary>The latency of the packed file.</summary>
    public required CardLatency Latency { get; init; }

    /// <summary>What the network is not good for: a sentence each.</summary>
    public required IReadOnlyList<string> Limits { get; init; }

    /// <summary>The packed file.</summary>
    public required CardFile Packed { get; init; }

    /// <summary>The checkpoint to start trainings from; null if the zoo does not contain it.</summary>
    public CardFile? Checkpoint { get; init; }

    /// <summary>The card as a Markdown page.</summary>
    public string ToMarkdown() => CardPage.Of(this);
}

/// <summary>The architecture of a network, its parameters and its operations.</summary>
/// <param name="Description">The architecture in words.</param>
/// <param name="BinaryParameters">One-bit weights.</param>
/// <param name="RealParameters">All other parameters, 32 bits each.</param>
/// <param name="Ops">Operations per image: real multiply-accumulates plus binary ones divided by 64.</param>
public sealed record CardNetwork(string Description, long BinaryParameters, long RealParameters, double Ops);

/// <summary>The images of a network.</summary>
/// <param name="Name">The data set.</param>
/// <param name="About">What its images show and how they were stored.</param>
/// <param name="Source">Where it comes from.</param>
/// <param name="Licence">Its licence.</param>
/// <param name="TrainingImages">Images that the network was trained on.</param>
/// <param name="TestImages">Images of the full test set.</param>
public sealed record CardData(string Name, string About, string Source, string Licence, int TrainingImages, int TestImages);

/// <summary>How a network was trained.</summary>
/// <param name="Commands">The command of each run, in order.</param>
/// <param name="Seed">The seed.</param>
/// <param name="Stages">The stages, in order.</param>
/// <param name="Selection">Which epoch's network this is, and how it was chosen.</param>
/// <param name="Software">The version of NormFree.</param>
/// <param name="Machine">The processor that trained it.</param>
/// <param name="Outlook">What a longer training would give, as far as the training shows.</param>
public sealed record CardTraining(
    IReadOnlyList<string> Commands, long Seed, IReadOnlyList<CardStage> Stages, string Selection, string Software, string Machine, string Outlook);

/// <summary>One stage of a training.</summary>
/// <param name="Name">The stage: what is binary.</param>
/// <param name="Epochs">Epochs that were trained.</param>
/// <param name="PlannedEpochs">Epochs of the schedule.</param>
/// <param name="Seconds">Wall time of the training steps.</param>
/// <param name="TrainTop1">Top-1 accuracy on the augmented training images during the last epoch, from 0 to 1.</param>
/// <param name="TestTop1">Top-1 accuracy on the run's test images after the last epoch, from 0 to 1.</param>
public sealed record CardStage(string Name, int Epochs, int PlannedEpochs, double Seconds, double TrainTop1, double TestTop1);

/// <summary>The accuracy of a packed file.</summary>
/// <param name="Classes">The results by class, in the order of the logits.</param>
public sealed record CardAccuracy(IReadOnlyList<CardClass> Classes)
{
    /// <summary>The number of test images.</summary>
    public int Images() => Classes.Sum(c => c.Images);

    /// <summary>The fraction of test images that are classified correctly.</summary>
    public double Top1() => Classes.Sum(c => c.Right) / (double)Math.Max(1, Images());
}

/// <summary>The accuracy on one class.</summary>
/// <param name="Name">The class.</param>
/// <param name="Images">Its test images.</param>
/// <param name="Right">Those that are classified correctly.</param>
public sealed record CardClass(string Name, int Images, int Right);

/// <summary>The latency of a packed file for one image.</summary>
/// <param name="MedianMs">Median of the runs, in milliseconds.</param>
/// <param name="P95Ms">95 % of the runs are at most as long, in milliseconds.</param>
/// <param name="Threads">Threads that computed.</param>
/// <param name="Runs">Measured runs.</param>
/// <param name="Machine">The processor, its instruction set and its load.</param>
public sealed record CardLatency(double MedianMs, double P95Ms, int Threads, int Runs, string Machine);

/// <summary>A file of the zoo.</summary>
/// <param name="Bytes">Its size.</param>
/// <param name="Sha256">Its SHA-256 in hexadecimal, lower case.</param>
public sealed record CardFile(long Bytes, string Sha256);
