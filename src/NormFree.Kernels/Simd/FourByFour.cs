using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.Arm;
using System.Runtime.Intrinsics.X86;

namespace NormFree.Kernels.Simd;

/// <summary>Transposes float matrices in blocks of 4×4, independent of the vector width.</summary>
internal static unsafe class FourByFour
{
    /// <summary>Whether the processor has the shuffle instructions.</summary>
    public static bool IsSupported => Sse.IsSupported || AdvSimd.Arm64.IsSupported;

    /// <summary>Transposes rows × columns values; those outside whole blocks one by one.</summary>
    /// <param name="source">The matrix.</param>
    /// <param name="sourceStep">Floats from one row of the matrix to the next.</param>
    /// <param name="rows">Number of rows of the matrix.</param>
    /// <param name="columns">Number of columns of the matrix.</param>
    /// <param name="target">The transposed matrix.</param>
    /// <param name="targetStep">Floats from one row of the transposed matrix to the next.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Transpose(float* source, int sourceStep, int rows, int columns, float* target, int targetStep)
    {
        var (wholeRows, wholeColumns) = IsSupported ? (rows & ~3, columns & ~3) : (0, 0);
        for (var column = 0; column < wholeColumns; column += 4)
            for (var row = 0; row < wholeRows; row += 4)
                Transpose(source + (nint)row * sourceStep + column, sourceStep, target + (nint)column * targetStep + row, targetStep);
        for (var row = 0; row < rows; row++)
            for (var column = row < wholeRows ? wholeColumns : 0; column < columns; column++)
                target[(nint)column * targetStep + row] = source[(nint)row * sourceStep + column];
    }

    /// <summary>Transposes one block; rows are <paramref name="sourceStep"/> and <paramref name="targetStep"/> floats apart.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Transpose(float* source, int sourceStep, float* target, int targetStep)
    {
        var (a, b) = (Vector128.Load(source), Vector128.Load(source + sourceStep));
        var (c, d) = (Vector128.Load(source + 2 * sourceStep), Vector128.Load(source + 3 * sourceStep));
        var (ac, bd) = (Low(a, c), Low(b, d));
        var (highAc, highBd) = (High(a, c), High(b, d));
        Low(ac, bd).Store(target);
        High(ac, bd).Store(target + targetStep);
        Low(highAc, highBd).Store(target + 2 * targetStep);
        High(highAc, highBd).Store(target + 3 * targetStep);
    }

    /// <summary>a₀ b₀ a₁ b₁.</summary>
    private static Vector128<float> Low(Vector128<float> a, Vector128<float> b) =>
        Sse.IsSupported ? Sse.UnpackLow(a, b) : AdvSimd.Arm64.ZipLow(a, b);

    /// <summary>a₂ b₂ a₃ b₃.</summary>
    private static Vector128<float> High(Vector128<float> a, Vector128<float> b) =>
        Sse.IsSupported ? Sse.UnpackHigh(a, b) : AdvSimd.Arm64.ZipHigh(a, b);
}
