using System.Diagnostics;
using NormFree.Classify;
using NormFree.Formats;
using NormFree.Inference;
using NormFree.Kernels.Simd;

const int Success = 0, Failure = 1, BadUsage = 2;

if (Arguments.Parse(args) is not { } arguments)
{
    Console.Error.WriteLine(Arguments.Usage);
    return BadUsage;
}
try
{
    using var network = PackedNetwork.Load(arguments.Model, new PackedOptions { Threads = arguments.Threads });
    var first = true;
    foreach (var path in arguments.Images)
    {
        var predictions = Picture.Classify(network, path);
        if (first && arguments.Time) Console.WriteLine($"{SinceStart():F1} ms from process start to the first prediction, with {InstructionSets.Best}");
        first = false;
        Console.WriteLine(Printable.Text(path));
        foreach (var (name, probability) in predictions.Take(arguments.Top)) Console.WriteLine($"  {probability,7:P2}  {Printable.Text(name)}");
    }
    return Success;
}
catch (Exception error) when (error is InvalidFileException or IOException or UnauthorizedAccessException or ArgumentException or InvalidOperationException)
{
    Console.Error.WriteLine(Printable.Lines(error.Message));
    return Failure;
}

static double SinceStart() => (DateTime.Now - Process.GetCurrentProcess().StartTime).TotalMilliseconds;
