using System.Buffers.Binary;
using System.Text;

namespace NormFree.Torch.Native;

/// <summary>Edits the symbol versions that an ELF library requires of the libraries it needs (section <c>.gnu.version_r</c>).</summary>
/// <remarks>Layouts and constants: the Linux Standard Base, "Symbol Versioning", and the ELF-64 object file format.</remarks>
public static class ElfSymbolVersions
{
    private const uint ElfMagic = 0x464C457F;    // 0x7F 'E' 'L' 'F', little-endian
    private const uint RequirementsSection = 0x6FFFFFFE; // SHT_GNU_verneed
    private const ushort WeakFlag = 2;           // VER_FLG_WEAK

    /// <summary>
    /// Marks every requirement of <paramref name="version"/> weak, so that the linker accepts a library without it as long as no symbol of that
    /// version is called.
    /// </summary>
    /// <param name="elf">A whole 64-bit little-endian ELF file, changed in place.</param>
    /// <param name="version">For example <c>GLIBCXX_3.4.32</c>.</param>
    /// <returns>How many requirements were marked.</returns>
    /// <exception cref="BadImageFormatException">Not such a file.</exception>
    public static int Weaken(Span<byte> elf, string version)
    {
        if (elf.Length < 64 || U32(elf, 0) != ElfMagic || elf[4] != 2 || elf[5] != 1)
            throw new BadImageFormatException("Not a 64-bit little-endian ELF file.");
        long sections = U64(elf, 0x28);
        int sectionSize = U16(elf, 0x3A), sectionCount = U16(elf, 0x3C), marked = 0;
        for (var i = 0; i < sectionCount; i++)
        {
            var section = sections + (long)i * sectionSize;
            if (U32(elf, section + 4) != RequirementsSection) continue;
            var names = U64(elf, sections + (long)U32(elf, section + 40) * sectionSize + 24);
            marked += WeakenSection(elf, U64(elf, section + 24), U32(elf, section + 44), names, version);
        }
        return marked;
    }

    private static int WeakenSection(Span<byte> elf, long need, uint libraries, long names, string version)
    {
        var marked = 0;
        for (; libraries > 0; libraries--, need += U32(elf, need + 12))
        {
            var requirement = need + U32(elf, need + 8);
            for (int left = U16(elf, need + 2); left > 0; left--, requirement += U32(elf, requirement + 12))
            {
                if (Name(elf, names + U32(elf, requirement + 8)) != version) continue;
                var flags = elf[(int)(requirement + 4)..];
                BinaryPrimitives.WriteUInt16LittleEndian(flags, (ushort)(BinaryPrimitives.ReadUInt16LittleEndian(flags) | WeakFlag));
                marked++;
            }
        }
        return marked;
    }

    private static string Name(ReadOnlySpan<byte> elf, long offset)
    {
        var text = elf[(int)offset..];
        return Encoding.ASCII.GetString(text[..text.IndexOf((byte)0)]);
    }

    private static ushort U16(ReadOnlySpan<byte> bytes, long offset) => BinaryPrimitives.ReadUInt16LittleEndian(bytes[(int)offset..]);
    private static uint U32(ReadOnlySpan<byte> bytes, long offset) => BinaryPrimitives.ReadUInt32LittleEndian(bytes[(int)offset..]);
    private static long U64(ReadOnlySpan<byte> bytes, long offset) => (long)BinaryPrimitives.ReadUInt64LittleEndian(bytes[(int)offset..]);
}
