using NormFree.Inference.Model;
using NormFree.Inference.Plans;
using NormFree.Kernels.Activations;
using NormFree.Kernels.Simd;

namespace NormFree.Inference.Layers;

/// <summary>A pooled shortcut: average pooling and its projection, if it has one.</summary>
/// <param name="shortcut">The shortcut.</param>
/// <param name="inputs">Channels of its input.</param>
/// <param name="outputs">Channels of its output.</param>
/// <param name="set">The instruction set.</param>
internal sealed class PreparedPooling(AveragePoolShortcut shortcut, int inputs, int outputs, InstructionSet set) : IDisposable
{
    private readonly PreparedProjection? projection =
        shortcut.Projection is null ? null : PreparedProjection.From(inputs, outputs, shortcut.Projection, set);

    /// <summary>Appends its step to a plan.</summary>
    /// <param name="builder">The plan so far.</param>
    /// <param name="input">The map that is pooled; it is not released.</param>
    /// <param name="size">The size of the result.</param>
    /// <returns>The result.</returns>
    /// <exception cref="ArgumentException">The input or the result has other channels than the shortcut.</exception>
    public MapBuffer Plan(PlanBuilder builder, MapBuffer input, MapSize size)
    {
        if ((input.Size.Channels, size.Channels) != (inputs, outputs))
            throw new ArgumentException($"The shortcut maps {inputs} channels to {outputs}, but its maps have {input.Size.Channels} and {size.Channels}.");
        var output = builder.TakeMap(size);
        builder.Steps.Add(projection is null
            ? new AveragePoolStep(ScaledAveragePool.For(set), shortcut, input, output, SignWriter.For(set, null), builder.Threads)
            : new ProjectionStep(projection, shortcut, input, output, builder.Threads));
        return output;
    }

    /// <inheritdoc/>
    public void Dispose() => projection?.Dispose();
}
