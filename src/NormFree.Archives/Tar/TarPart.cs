namespace NormFree.Archives.Tar;

/// <summary>What a part of a tar archive is.</summary>
public enum TarPart
{
    /// <summary>A file with its bytes.</summary>
    File,

    /// <summary>A folder.</summary>
    Folder,

    /// <summary>A symbolic or hard link.</summary>
    Link,
}
