namespace NormFree.Formats.Pickle;

/// <summary>Whether a value can be walked by recursion: it must not contain itself nor be nested too deep.</summary>
internal static class PickleShape
{
    /// <summary>What is wrong with the value's shape; null when it is fine.</summary>
    /// <remarks>A stack of its own instead of recursion, and each value visited once: the input is not trusted yet.</remarks>
    public static string? Problem(PickleValue root, int maxDepth)
    {
        var height = new Dictionary<PickleValue, int>(ReferenceEqualityComparer.Instance);
        var path = new Stack<(PickleValue Value, IEnumerator<PickleValue> Next, int Height)>();
        path.Push((root, Children(root).GetEnumerator(), 1));
        height[root] = 0; // 0: on the path
        while (path.TryPop(out var top))
        {
            if (top.Height > maxDepth || path.Count >= maxDepth)
                return $"values are nested more than {maxDepth} deep";
            if (!top.Next.MoveNext())
            {
                height[top.Value] = top.Height;
                if (path.TryPop(out var parent))
                    path.Push(parent with { Height = Math.Max(parent.Height, top.Height + 1) });
                continue;
            }
            var child = top.Next.Current;
            if (!height.TryGetValue(child, out int known))
            {
                path.Push(top);
                if (!IsLeaf(child))
                {
                    height[child] = 0;
                    path.Push((child, Children(child).GetEnumerator(), 1));
                }
            }
            else if (known == 0)
                return "a value contains itself";
            else
                path.Push(top with { Height = Math.Max(top.Height, known + 1) });
        }
        return null;
    }

    private static bool IsLeaf(PickleValue value) =>
        value is not (PickleList or PickleTuple or PickleDict or PickleReduced or PicklePersistentId);

    private static IEnumerable<PickleValue> Children(PickleValue value) => value switch
    {
        PickleList list => list.Items,
        PickleTuple tuple => tuple.Items,
        PickleDict dict => Flat(dict.Entries),
        PicklePersistentId persistent => [persistent.Id],
        PickleReduced { State: null } reduced => [reduced.Arguments, .. reduced.Items, .. Flat(reduced.Entries)],
        PickleReduced reduced => [reduced.Arguments, reduced.State, .. reduced.Items, .. Flat(reduced.Entries)],
        _ => [],
    };

    private static IEnumerable<PickleValue> Flat(IEnumerable<KeyValuePair<PickleValue, PickleValue>> entries)
    {
        foreach (var (key, value) in entries)
        {
            yield return key;
            yield return value;
        }
    }
}
