using NormFree.Archives.Pickle;

namespace NormFree.Archives.PyTorch;

/// <summary>Finds the persistent ids in a value.</summary>
internal static class PersistentIds
{
    /// <summary>Each persistent id once, however often it is used: a pickle of a few bytes can use one value exponentially often.</summary>
    public static IEnumerable<PicklePersistentId> Of(PickleValue root)
    {
        var seen = new HashSet<PickleValue>(ReferenceEqualityComparer.Instance);
        var path = new Stack<PickleValue>([root]);
        while (path.TryPop(out var value))
        {
            if (value is PicklePersistentId persistent)
                yield return persistent;
            for (int i = 0; PickleShape.Child(value, i) is { } child; i++)
                if (PickleShape.MayHold(child) && seen.Add(child))
                    path.Push(child);
        }
    }
}
