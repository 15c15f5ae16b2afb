using System.Runtime.CompilerServices;

namespace NormFree.Kernels.Simd;

/// <summary>Vectors of one float; a kernel on this type is its own reference implementation.</summary>
public readonly unsafe struct ScalarFloats : IFloatVectors<float>
{
    /// <inheritdoc/>
    public static int Lanes => 1;

    /// <inheritdoc/>
    public static float Broadcast(float value) => value;

    /// <inheritdoc/>
    public static float Load(float* source) => *source;

    /// <inheritdoc/>
    public static void Store(float value, float* target) => *target = value;

    /// <inheritdoc/>
    public static float Add(float a, float b) => a + b;

    /// <inheritdoc/>
    public static float Subtract(float a, float b) => a - b;

    /// <inheritdoc/>
    public static float Multiply(float a, float b) => a * b;

    /// <inheritdoc/>
    public static float Divide(float a, float b) => a / b;

    /// <inheritdoc/>
    public static float SquareRoot(float a) => MathF.Sqrt(a);

    /// <inheritdoc/>
    public static float MultiplyAdd(float a, float b, float c) => a * b + c;

    /// <inheritdoc/>
    public static float Abs(float a) => MathF.Abs(a);

    /// <inheritdoc/>
    public static float LessThan(float a, float b) => BitConverter.Int32BitsToSingle(a < b ? -1 : 0);

    /// <inheritdoc/>
    public static float Select(float mask, float yes, float no) => BitConverter.SingleToInt32Bits(mask) != 0 ? yes : no;

    /// <inheritdoc/>
    public static float Sum(float a) => a;

    /// <inheritdoc/>
    public static float Convert(int* source) => *source;

    /// <inheritdoc/>
    public static int TableEntries => 16;

    /// <inheritdoc/>
    public static float LoadIndices(uint* source) => Unsafe.BitCast<uint, float>(*source);

    /// <inheritdoc/>
    public static float AddLookup(float sum, float* table, float words) => sum + table[Unsafe.BitCast<float, uint>(words) & 15];

    /// <inheritdoc/>
    public static float NextIndex(float words) => Unsafe.BitCast<uint, float>(Unsafe.BitCast<float, uint>(words) >> 4);

    /// <summary>Does nothing: hardware prefetchers follow regular strides.</summary>
    public static void Prefetch(float* source)
    {
    }
}

/// <summary>Sign bit of <see cref="ScalarFloats"/>.</summary>
public readonly struct ScalarSigns : ISignVectors<float>
{
    /// <inheritdoc/>
    public static ulong GreaterOrEqual(float a, float b) => a >= b ? 1u : 0u;
}
