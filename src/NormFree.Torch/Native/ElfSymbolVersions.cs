using System.Buffers.Binary;
using System.Text;

namespace NormFree.Torch.Native;

/// <summary>Edits the symbol versions that an ELF library requires from its dependencies (section <c>.gnu.version_r</c>).</summary>
/// <remarks>Layouts and constants: the Linux Standard Base, "Symbol Versioning", and the ELF-64 object file format.</remarks>
public static class ElfSymbolVersions
{
    private const uint ElfMagic = 0x464C457F;    // 0x7F 'E' 'L' 'F', little-endian
    private const uint RequirementsSection = 0x6FFFFFFE; // SHT_GNU_verneed
    private const ushort WeakFlag = 2;           // VER_FLG_WEAK
    private const int EntrySize = 16;            // of Elf64_Verneed and Elf64_Vernaux

    /// <summary>
    /// Marks every requirement of <paramref name="version"/> as weak. The dynamic linker then accepts a dependency that lacks the version, as long as
    /// no symbol of that version is called.
    /// </summary>
    /// <param name="elf">A complete 64-bit little-endian ELF file, edited in place.</param>
    /// <param name="version">For example <c>GLIBCXX_3.4.32</c>.</param>
    /// <returns>The number of requirements marked.</returns>
    /// <exception cref="BadImageFormatException">The file is not 64-bit little-endian ELF, or is damaged. Requirements before the damage may have been marked.</exception>
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
        for (; libraries > 0; libraries--)
        {
            var requirement = need + U32(elf, need + 8);
            for (int left = U16(elf, need + 2); left > 0; left--)
            {
                if (Name(elf, names + U32(elf, requirement + 8)) == version)
                {
                    var flags = At(elf, requirement + 4, sizeof(ushort));
                    BinaryPrimitives.WriteUInt16LittleEndian(flags, (ushort)(BinaryPrimitives.ReadUInt16LittleEndian(flags) | WeakFlag));
                    marked++;
                }
                if (left > 1) requirement += Step(elf, requirement + 12);
            }
            if (libraries > 1) need += Step(elf, need + 12);
        }
        return marked;
    }

    /// <summary>The offset from an entry to the next. It must be positive, so that the walk over a damaged list terminates.</summary>
    private static uint Step(Span<byte> elf, long offset) =>
        U32(elf, offset) is var step and >= EntrySize ? step : throw Damaged();

    private static string Name(Span<byte> elf, long offset)
    {
        var text = elf[Place(elf, offset, 1)..];
        var end = text.IndexOf((byte)0);
        return end >= 0 ? Encoding.ASCII.GetString(text[..end]) : throw Damaged();
    }

    private static ushort U16(Span<byte> elf, long offset) => BinaryPrimitives.ReadUInt16LittleEndian(At(elf, offset, sizeof(ushort)));
    private static uint U32(Span<byte> elf, long offset) => BinaryPrimitives.ReadUInt32LittleEndian(At(elf, offset, sizeof(uint)));

    /// <summary>An offset. Values above 2⁶³ become negative, and Place rejects them.</summary>
    private static long U64(Span<byte> elf, long offset) => BinaryPrimitives.ReadInt64LittleEndian(At(elf, offset, sizeof(long)));

    private static Span<byte> At(Span<byte> elf, long offset, int size) => elf.Slice(Place(elf, offset, size), size);

    private static int Place(Span<byte> elf, long offset, int size) =>
        offset >= 0 && offset <= elf.Length - size ? (int)offset : throw Damaged();

    private static BadImageFormatException Damaged() => new("The ELF file is damaged: it refers to offsets outside the file.");
}
