using System.Globalization;

namespace NormFree.Zoo;

/// <summary>Model cards as Markdown.</summary>
internal static class CardPage
{
    /// <summary>The page of a card.</summary>
    public static string Of(ModelCard card) => string.Join("\n", Lines(card)) + "\n";

    private static IEnumerable<string> Lines(ModelCard card) =>
    [
        $"# {card.Name}",
        "",
        card.Task,
        "",
        .. Summary(card),
        "",
        "## Use",
        "",
        "```text",
        $"normfree predict --packed zoo:{card.Name} image.jpg",
        $"normfree zoo export {card.Name}",
        .. card.Checkpoint is null ? (string[])[] : [$"normfree train --init zoo:{card.Name} --dataset folder --data FOLDER"],
        "```",
        "",
        "## Data",
        "",
        $"{card.Data.Name}: {card.Data.About} {Whole(card.Data.TrainingImages)} training images, {Whole(card.Data.TestImages)} test images.",
        $"Source: {card.Data.Source}. Licence: {card.Data.Licence}",
        "",
        $"Preprocessing: {card.Preprocessing}",
        "",
        .. Training(card.Training),
        "",
        .. Accuracy(card.Accuracy),
        "",
        "## Limits",
        "",
        .. card.Limits.Select(limit => $"- {limit}"),
        "",
        .. Files(card),
        "",
        "All numbers of this page were measured by `normfree zoo add`, which wrote it.",
    ];

    private static IEnumerable<string> Summary(ModelCard card) =>
    [
        "| | |",
        "|---|---|",
        Invariant($"| top-1 accuracy | {100 * card.Accuracy.Top1():F2} % on all {Whole(card.Accuracy.Images())} test images |"),
        $"| network | {card.Network.Description} |",
        $"| parameters | {Whole(card.Network.BinaryParameters)} of 1 bit, {Whole(card.Network.RealParameters)} of 32 bits |",
        Invariant($"| operations | {card.Network.Ops / 1e6:F2} million per image (binary ones count 1/64) |"),
        $"| packed file | {Size(card.Packed.Bytes)} |",
        card.Checkpoint is null ? "| checkpoint | not in the zoo |" : $"| checkpoint | {Size(card.Checkpoint.Bytes)} |",
        Invariant($"| latency | {card.Latency.MedianMs:F3} ms median, {card.Latency.P95Ms:F3} ms at 95 %, {Threads(card.Latency.Threads)} |"),
        $"| measured on | {card.Latency.Machine} |",
    ];

    private static IEnumerable<string> Training(CardTraining training) =>
    [
        "## Training",
        "",
        "| stage: what is binary | epochs | time | train top-1 | test top-1 |",
        "|---|---|---|---|---|",
        .. training.Stages.Select(Row),
        "",
        $"{training.Selection} Seed {training.Seed}. Trained on {training.Machine} with NormFree {training.Software}:",
        "",
        "```text",
        .. training.Commands,
        "```",
        "",
        $"What a longer training would give: {training.Outlook}",
    ];

    private static string Row(CardStage stage)
    {
        var epochs = stage.Epochs == stage.PlannedEpochs ? $"{stage.Epochs}" : $"{stage.Epochs} of {stage.PlannedEpochs}";
        return Invariant($"| {stage.Name} | {epochs} | {stage.Seconds / 60:F1} min | {100 * stage.TrainTop1:F2} % | {100 * stage.TestTop1:F2} % |");
    }

    private static IEnumerable<string> Accuracy(CardAccuracy accuracy) =>
    [
        "## Accuracy by class",
        "",
        "| class | test images | right | accuracy |",
        "|---|---|---|---|",
        .. accuracy.Classes.Select(c => Invariant($"| {c.Name} | {c.Images} | {c.Right} | {100.0 * c.Right / Math.Max(1, c.Images):F1} % |")),
    ];

    private static IEnumerable<string> Files(ModelCard card) =>
    [
        "## Files",
        "",
        "| file | bytes | SHA-256 |",
        "|---|---|---|",
        $"| {ZooResource.FileName(card.Name, ZooFileKind.Packed)} | {card.Packed.Bytes} | `{card.Packed.Sha256}` |",
        .. card.Checkpoint is { } file
            ? (string[])[$"| {ZooResource.FileName(card.Name, ZooFileKind.Checkpoint)} | {file.Bytes} | `{file.Sha256}` |"]
            : [],
    ];

    private static string Threads(int count) => count == 1 ? "1 thread" : $"{count} threads";

    private static string Whole(long number) => number.ToString("N0", CultureInfo.InvariantCulture);

    private static string Size(long bytes) => Invariant($"{bytes / 1000.0:F0} kB");

    private static string Invariant(FormattableString text) => FormattableString.Invariant(text);
}
