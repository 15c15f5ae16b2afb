namespace NormFree.Archives.Pickle;

/// <summary>The name of something that Python would import here: a class or a function. Nothing is imported.</summary>
public sealed class PickleGlobal : PickleValue
{
    internal PickleGlobal(string module, string name)
    {
        Module = module;
        Name = name;
    }

    /// <summary>The module, for example <c>collections</c>.</summary>
    public string Module { get; }

    /// <summary>The name in it, for example <c>OrderedDict</c>.</summary>
    public string Name { get; }

    /// <inheritdoc/>
    public override string ToString() => $"{Module}.{Name}";
}
