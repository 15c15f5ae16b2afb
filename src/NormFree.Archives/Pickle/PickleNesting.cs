namespace NormFree.Archives.Pickle;

/// <summary>Checks that a value can be walked recursively: it must not contain itself or be nested too deep.</summary>
internal static class PickleNesting
{
    private const int OnPath = 0;

    /// <summary>Describes what is wrong with the nesting; null if nothing.</summary>
    /// <remarks>Uses an explicit stack instead of recursion and visits each value once, because the input is not trusted yet.</remarks>
    public static string? Problem(PickleValue root, int maxDepth)
    {
        var heights = new Dictionary<PickleValue, int>(ReferenceEqualityComparer.Instance) { [root] = OnPath };
        var path = new Stack<(PickleValue Value, int NextChild, int Height)>();
        path.Push((root, 0, 1));
        while (path.TryPop(out var top))
        {
            if (top.Height > maxDepth || path.Count >= maxDepth)
                return $"values are nested more than {maxDepth} levels deep";
            if (Child(top.Value, top.NextChild) is not { } child)
            {
                heights[top.Value] = top.Height;
                if (path.TryPop(out var parent))
                    path.Push(parent with { Height = Math.Max(parent.Height, top.Height + 1) });
                continue;
            }

            bool walk = false;
            if (HeightIfChildless(child) is not { } height)
            {
                walk = !heights.TryGetValue(child, out height);
                if (!walk && height == OnPath)
                    return "a value contains itself";
            }
            path.Push((top.Value, top.NextChild + 1, Math.Max(top.Height, height + 1)));
            if (walk)
            {
                heights[child] = OnPath;
                path.Push((child, 0, 1));
            }
        }
        return null;
    }

    /// <summary>0 for scalars, 1 for empty containers, null for values that must be walked. Most values have no children, and storing each in a
    /// dictionary would need more memory than the file.</summary>
    private static int? HeightIfChildless(PickleValue value) => value switch
    {
        PickleList { Items.Count: 0 } or PickleTuple { Items.Count: 0 } or PickleDict { Entries.Count: 0 } => 1,
        PickleList or PickleTuple or PickleDict or PickleReduced or PicklePersistentId => null,
        _ => 0,
    };

    /// <summary>Whether a value can have children.</summary>
    public static bool MayHaveChildren(PickleValue value) => HeightIfChildless(value) is null;

    /// <summary>The child of a value at an index; null after the last one.</summary>
    public static PickleValue? Child(PickleValue value, int index) => value switch
    {
        PickleList list => At(list.Items, index),
        PickleTuple tuple => At(tuple.Items, index),
        PickleDict dict => At(dict.Entries, index),
        PicklePersistentId persistent => index == 0 ? persistent.Id : null,
        PickleReduced reduced => index switch
        {
            0 => reduced.Arguments,
            1 => reduced.State ?? PickleNone.Instance,
            _ => At(reduced.Items, index - 2) ?? At(reduced.Entries, index - 2 - reduced.Items.Count),
        },
        _ => null,
    };

    private static PickleValue? At(IReadOnlyList<PickleValue> items, int index) => index < items.Count ? items[index] : null;

    private static PickleValue? At(IReadOnlyList<KeyValuePair<PickleValue, PickleValue>> entries, int index) =>
        index >= 2 * entries.Count ? null : index % 2 == 0 ? entries[index / 2].Key : entries[index / 2].Value;
}
