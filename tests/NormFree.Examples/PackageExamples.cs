using NormFree.Archives.PyTorch;
using NormFree.Distributed;
using NormFree.Formats.Safetensors;
using NormFree.Formats;
using NormFree.Kernels.Images;
using NormFree.Kernels.Simd;
using NormFree.Platform;
using NormFree.Torch.Native;
using NormFree.Torch.Training;
using TorchSharp;

/// <summary>The C# examples of the packages' READMEs, which must compile.</summary>
internal static class PackageExamples
{
    public static void Platform()
    {
        using (var file = new FileStream("results.csv", FileMode.Create))
        {
            file.Write("epoch,accuracy\n"u8);
            file.Flush();
            DiskFiles.FlushFile(file.SafeFileHandle, "results.csv"); // throws if the disk fails
        }
        DiskFiles.FlushFolder("."); // the new name survives a power failure
        Console.WriteLine($"{MachineFacts.Processor()}, {ProcessControl.MaxOpenFiles()} open files");
    }

    public static void Formats()
    {
        new SafetensorsWriter()
            .Describe("made by", "an example")
            .Add("weight", DType.F32, [2, 2], new byte[16])
            .Save("weights.safetensors"); // completely or not at all

        using var weights = SafetensorsFile.Open("weights.safetensors");
        foreach (var tensor in weights.Tensors)
            Console.WriteLine($"{tensor.Name}: {weights.ReadAsSingle(tensor).Length} values");
    }

    public static void Archives()
    {
        var checkpoint = PyTorchFile.Open("model.pth.tar"); // finds the state dict, whatever its key
        Console.WriteLine($"{checkpoint.Weights}: {checkpoint.Tensors.Count} tensors");
        foreach (var tensor in checkpoint.Tensors)
            Console.WriteLine($"{tensor.Name}  {tensor.DType}  {string.Join('×', tensor.Shape)}  {tensor.Bytes} bytes");
    }

    public static void Kernels()
    {
        Console.WriteLine($"This processor has {string.Join(", ", InstructionSets.Supported)}.");
        InstructionSets.Use(InstructionSet.Scalar); // compare any of them

        var (width, height) = RgbImage.CoveringSize(640, 480, 224, 224); // 299×224
        byte[] centre = RgbImage.Crop(new byte[3 * 640 * 480], 640, 480, 208, 128, 224, 224);
        float[] planes = new float[3 * 224 * 224];
        RgbImage.Normalise(centre, [0.485f, 0.456f, 0.406f], [0.229f, 0.224f, 0.225f], planes);
        Console.WriteLine($"{width}×{height}, {planes[0]}");
    }

    public static void Distributed()
    {
        var ranks = Ranks.Join(Ranks.DefaultTimeout, lost => Console.Error.WriteLine(lost)); // under mpirun, or one rank without it
        double[] sums = ranks.Sum(1.0, ranks.Rank);
        string[] machines = ranks.AllGather(Environment.MachineName);
        if (ranks.Rank == 0)
            Console.WriteLine($"{sums[0]} ranks on {string.Join(", ", machines.Distinct())}");
        ranks.Leave();
    }

    public static void Torch()
    {
        TorchNative.Ensure(); // needed only before the first own call of TorchSharp
        using var weight = torch.randn(64, 32, 3, 3).requires_grad_();
        using var loss = weight.square().sum();
        loss.backward();
        var clipped = AdaptiveGradientClipping.Clip(weight, factor: 0.02);
        Console.WriteLine($"{clipped.Clipped} of {clipped.Units} filters were clipped");
    }
}
