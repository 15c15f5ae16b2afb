using NormFree.Interop;
using NormFree.Spec;

/// <summary>Converts files of other frameworks from C#.</summary>
internal static class InteropExample
{
    /// <summary>A checkpoint of the original ReActNet repository as an ONNX file.</summary>
    public static void ToOnnx(string pytorch, string onnx)
    {
        var spec = Net.withNorm(Norm.BatchNorm, Net.withBinarise(Binarise.ActivationsAndWeights, ReActNet.a));
        using var file = ForeignFile.OpenPyTorch(pytorch);
        var imported = Import.checkpoint(ImportRules.Default, spec, Import.task(spec, size: 224), file);
        if (imported.IsError)
        {
            foreach (string line in imported.ErrorValue.Problems)
                Console.WriteLine(line);
            return;
        }
        using var checkpoint = imported.ResultValue.Item1;
        OnnxLowering.lower(OnnxBatch.AnyNumber, checkpoint).Save(onnx);
    }
}
