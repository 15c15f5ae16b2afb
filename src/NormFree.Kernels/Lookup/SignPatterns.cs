using NormFree.Kernels.Memory;

namespace NormFree.Kernels.Lookup;

/// <summary>The signs of the four numbers in the sixteen entries of a table.</summary>
internal static unsafe class SignPatterns
{
    /// <summary>Entries of a table.</summary>
    public const int TableSize = 16;

    /// <summary>Numbers that a table sums.</summary>
    public const int GroupSize = 4;

    /// <summary>Tables that one 32-bit word holds the indices of.</summary>
    public const int GroupsInWord = 8;

    private static readonly NativeBuffer<float> Patterns = Make();

    /// <summary>Four rows of 16: +1 in row j, column i where bit j of i is set, else −1.</summary>
    public static readonly float* Pointer = Patterns.Pointer;

    private static NativeBuffer<float> Make()
    {
        var patterns = new NativeBuffer<float>(GroupSize * TableSize);
        for (var number = 0; number < GroupSize; number++)
            for (var entry = 0; entry < TableSize; entry++)
                patterns.Pointer[number * TableSize + entry] = (entry >> number & 1) == 1 ? 1 : -1;
        return patterns;
    }
}
