namespace NormFree.Archives.PyTorch;

/// <summary>The storages of a file.</summary>
internal interface IStorages
{
    /// <summary>The storage of an id.</summary>
    /// <param name="id">What the pickle says about it.</param>
    /// <param name="where">The place that errors name.</param>
    /// <exception cref="InvalidFileException">The file has none of it, or another than the pickle says.</exception>
    Storage Find(StorageId id, string where);
}
