namespace NormFree.Runs

open System
open System.Buffers.Binary
open System.IO
open System.Reflection
open System.Security.Cryptography
open System.Text.Json
open System.Threading.Tasks
open FSharp.Reflection
open NormFree.Formats
open Parquet
open Parquet.Schema

/// <summary>Tables as Apache Parquet files. A row is an F# record of strings, integers and floats; a column is one of its fields, named as in
/// <c>mean_squared</c>.</summary>
[<RequireQualifiedAccess>]
module internal ColumnFile =

    /// The column name of a record field.
    let nameOf (property: PropertyInfo) = JsonNamingPolicy.SnakeCaseLower.ConvertName property.Name

    let private columns<'row> =
        [ for property in FSharpType.GetRecordFields typeof<'row> ->
              property, DataField(nameOf property, property.PropertyType, Nullable false, Nullable false, null) ]

    let private values<'row, 'value> (property: PropertyInfo) (rows: 'row list) =
        [| for row in rows -> property.GetValue row :?> 'value |]

    let private writeColumn (group: ParquetRowGroupWriter) (property: PropertyInfo) field (rows: 'row list) : Task =
        match property.PropertyType with
        | kind when kind = typeof<string> -> group.WriteAsync(field, values<'row, string> property rows)
        | kind when kind = typeof<int> -> group.WriteAsync<int>(field, ReadOnlyMemory(values<'row, int> property rows))
        | _ -> group.WriteAsync<float>(field, ReadOnlyMemory(values<'row, float> property rows))

    /// The offset of the footer, whose length precedes the last four bytes; None if the file has no room for one.
    let private footer (bytes: byte[]) =
        let start =
            bytes.LongLength
            - 8L
            - int64 (BinaryPrimitives.ReadUInt32LittleEndian(ReadOnlySpan(bytes, bytes.Length - 8, 4)))

        if start >= int64 SHA256.HashSizeInBytes then Some(int start) else None

    /// The checksum of a table without the <c>gap</c> bytes at this offset, which hold the stored checksum.
    let private sum (bytes: byte[]) (place: int) gap =
        use hash = IncrementalHash.CreateHash HashAlgorithmName.SHA256
        hash.AppendData(bytes, 0, place)
        hash.AppendData(bytes, place + gap, bytes.Length - place - gap)
        hash.GetHashAndReset()

    /// Inserts a checksum before the footer, where Parquet readers ignore it. Parquet readers do not terminate on every damaged file.
    let private seal (bytes: byte[]) =
        let place = (footer bytes).Value
        Array.concat [ Array.take place bytes; sum bytes place 0; Array.skip place bytes ]

    let private isSealed (bytes: byte[]) =
        let size = SHA256.HashSizeInBytes

        if bytes.Length < size + 8 then
            false
        else
            match footer bytes with
            | Some start -> bytes.AsSpan(start - size, size).SequenceEqual(ReadOnlySpan(sum bytes (start - size) size))
            | None -> false

    let private encode (rows: 'row list) =
        use buffer = new MemoryStream()
        let columns = columns<'row>
        let schema = ParquetSchema [ for _, field in columns -> field :> Field ]

        let work =
            task {
                use! writer = ParquetWriter.CreateAsync(schema, buffer)
                use group = writer.CreateRowGroup()

                for property, field in columns do
                    do! writeColumn group property field rows
            }

        work.GetAwaiter().GetResult()
        seal (buffer.ToArray())

    /// <summary>Writes a table atomically. Throws IOException or UnauthorizedAccessException if it cannot be written.</summary>
    let write path (rows: 'row list) =
        let bytes = encode rows
        AtomicFile.Write(path, (fun stream -> stream.Write(ReadOnlySpan bytes)))

    let private readColumn (group: ParquetRowGroupReader) (property: PropertyInfo) field : Task<objnull[]> =
        task {
            let count = int group.RowCount

            match property.PropertyType with
            | kind when kind = typeof<string> ->
                let values: string[] = Array.zeroCreate count
                do! group.ReadAsync(field, Memory values)
                return Array.map box values
            | kind when kind = typeof<int> ->
                let values: int[] = Array.zeroCreate count
                do! group.ReadAsync<int>(field, Memory values)
                return Array.map box values
            | _ ->
                let values: float[] = Array.zeroCreate count
                do! group.ReadAsync<float>(field, Memory values)
                return Array.map box values
        }

    /// Longer files are rejected.
    let private maxBytes = 1L <<< 30

    let private refuse path what remedy = raise (InvalidFileException(path, "table", what, remedy))

    let private isAdded (property: PropertyInfo) = property.IsDefined typeof<AddedColumnAttribute>

    /// Files of earlier versions lack added columns.
    let private requireColumns<'row> path (schema: ParquetSchema) =
        let names = String.concat ", "
        let expected = [ for property, _ in columns<'row> -> nameOf property ]
        let found = [ for field in schema.DataFields -> field.Name ]

        let required =
            [ for property, _ in columns<'row> do
                  if not (isAdded property) || List.contains (nameOf property) found then
                      nameOf property ]

        if found <> required then
            refuse
                path
                $"its columns are {names found}, not {names expected}"
                "Delete the file: the run does not depend on it"

    let private decode<'row> path (bytes: byte[]) =
        let work =
            task {
                use stream = new MemoryStream(bytes)
                use! reader = ParquetReader.CreateAsync stream
                requireColumns<'row> path reader.Schema
                use group = reader.OpenRowGroupReader 0
                let fields = dict [ for field in reader.Schema.DataFields -> field.Name, field ]
                let found = ResizeArray()

                for property, _ in columns<'row> do
                    match fields.TryGetValue(nameOf property) with
                    | true, field ->
                        let! column = readColumn group property field
                        found.Add column
                    | _ -> found.Add(Array.create (int group.RowCount) (box nan))

                return
                    [ for row in 0 .. int group.RowCount - 1 ->
                          FSharpValue.MakeRecord(typeof<'row>, [| for column in found -> column[row] |]) :?> 'row ]
            }

        work.GetAwaiter().GetResult()

    /// <summary>The table of a file's bytes. Throws InvalidFileException if they are damaged or have other columns.</summary>
    let ofBytes<'row> (path: string) (bytes: byte[]) : 'row list =
        if not (isSealed bytes) then
            refuse
                path
                "the file is truncated or damaged: its checksum does not match its content"
                "Delete it: the run does not depend on it"

        decode<'row> path bytes

    /// <summary>The table of a file.</summary>
    /// <remarks>Throws InvalidFileException if it is damaged or has other columns, IOException if it cannot be read.</remarks>
    let read<'row> (path: string) : 'row list = ofBytes<'row> path (PlainFile.ReadAllBytes(path, maxBytes))
