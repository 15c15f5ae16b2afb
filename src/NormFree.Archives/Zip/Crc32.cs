using System.Buffers.Binary;

namespace NormFree.Archives.Zip;

/// <summary>The checksum of zip archives: reflected CRC-32 of IEEE 802.3. .NET has it only in a package.</summary>
/// <remarks>Processes eight bytes per step with eight tables (Kounavis and Berry 2008, "slicing-by-8").</remarks>
public static class Crc32
{
    private const uint Polynomial = 0xEDB88320;
    private const int Slices = 8;

    /// <summary>Entry 256·k + b: the contribution of byte b when k more bytes follow.</summary>
    private static readonly uint[] Table = Tables();

    /// <summary>Computes the checksum of some bytes.</summary>
    /// <param name="bytes">The bytes.</param>
    public static uint Of(ReadOnlySpan<byte> bytes)
    {
        uint crc = uint.MaxValue;
        for (; bytes.Length >= Slices; bytes = bytes[Slices..])
        {
            ulong eight = BinaryPrimitives.ReadUInt64LittleEndian(bytes) ^ crc;
            crc = 0;
            for (int k = Slices - 1; k >= 0; k--, eight >>= 8)
                crc ^= Table[256 * k + (int)(eight & 0xFF)];
        }
        foreach (byte value in bytes)
            crc = Table[(byte)(crc ^ value)] ^ (crc >> 8);
        return ~crc;
    }

    private static uint[] Tables()
    {
        uint[] table = new uint[256 * Slices];
        for (int i = 0; i < table.Length; i++)
            table[i] = i < 256 ? OfByte((uint)i) : table[(byte)table[i - 256]] ^ (table[i - 256] >> 8);
        return table;
    }

    private static uint OfByte(uint value)
    {
        for (int bit = 0; bit < 8; bit++)
            value = (value & 1) != 0 ? Polynomial ^ (value >> 1) : value >> 1;
        return value;
    }
}
