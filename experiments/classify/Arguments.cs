using System.Globalization;

namespace NormFree.Classify;

/// <summary>The parsed command line.</summary>
internal sealed record Arguments
{
    public const string Usage = """
        classify MODEL.safetensors IMAGE… [--top N] [--threads N] [--time]

          MODEL      a packed network
          IMAGE      JPEG, PNG, BMP or TGA files
          --top      number of classes to print (default: 5)
          --threads  number of threads (default: one per processor)
          --time     print the time from process start to the first prediction
        """;

    public string Model { get; private init; } = "";

    public IReadOnlyList<string> Images { get; private init; } = [];

    public int Top { get; private init; } = 5;

    public int Threads { get; private init; } = Environment.ProcessorCount;

    public bool Time { get; private init; }

    /// <summary>Parses the command line; null if it is invalid.</summary>
    public static Arguments? Parse(IReadOnlyList<string> args)
    {
        var result = new Arguments();
        var files = new List<string>();
        for (var i = 0; i < args.Count; i++)
        {
            if (!args[i].StartsWith("--")) files.Add(args[i]);
            else if (args[i] == "--time") result = result with { Time = true };
            else if (i + 1 == args.Count || result.With(args[i], args[++i]) is not { } next) return null;
            else result = next;
        }
        return files.Count < 2 ? null : result with { Model = files[0], Images = files[1..] };
    }

    private Arguments? With(string option, string text)
    {
        var isCount = int.TryParse(text, CultureInfo.InvariantCulture, out var count) && count > 0;
        return option switch
        {
            "--top" when isCount => this with { Top = count },
            "--threads" when isCount => this with { Threads = count },
            _ => null,
        };
    }
}
