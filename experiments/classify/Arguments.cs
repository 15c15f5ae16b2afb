using System.Globalization;

namespace NormFree.Classify;

/// <summary>What the command line asks for.</summary>
internal sealed record Arguments
{
    public const string Usage = """
        classify MODEL.safetensors IMAGE… [--top N] [--threads N] [--time]

          MODEL      a packed network
          IMAGE      JPEG, PNG, BMP or TGA files
          --top      how many classes to print (5)
          --threads  threads that compute (all processors)
          --time     print the milliseconds from the process's start to the first prediction
        """;

    public string Model { get; private init; } = "";

    public IReadOnlyList<string> Images { get; private init; } = [];

    public int Top { get; private init; } = 5;

    public int Threads { get; private init; } = Environment.ProcessorCount;

    public bool Time { get; private init; }

    /// <summary>Null where they cannot be understood.</summary>
    public static Arguments? Parse(IReadOnlyList<string> words)
    {
        var result = new Arguments();
        var files = new List<string>();
        for (var i = 0; i < words.Count; i++)
        {
            if (!words[i].StartsWith("--")) files.Add(words[i]);
            else if (words[i] == "--time") result = result with { Time = true };
            else if (i + 1 == words.Count || result.With(words[i], words[++i]) is not { } next) return null;
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
