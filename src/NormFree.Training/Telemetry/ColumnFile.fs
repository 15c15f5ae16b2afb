namespace NormFree.Training

open System
open System.IO
open System.Reflection
open System.Text.Json
open System.Threading.Tasks
open FSharp.Reflection
open NormFree.Formats
open Parquet
open Parquet.Schema

/// <summary>Tables as columnar files (Apache Parquet): a row is an F# record of texts, whole numbers and reals, a column one of its fields,
/// named as in <c>mean_squared</c>.</summary>
[<RequireQualifiedAccess>]
module internal ColumnFile =

    /// Of a table's rows to the bytes of its file: even where every column is the same all over, a row takes some bits.
    let private rowsPerByte = 64L

    /// The name of a record's field as a column.
    let nameOf (property: PropertyInfo) = JsonNamingPolicy.SnakeCaseLower.ConvertName property.Name

    let private columns<'row> =
        [ for property in FSharpType.GetRecordFields typeof<'row> ->
              property, DataField(nameOf property, property.PropertyType, Nullable false, Nullable false, null) ]

    let private values<'row, 'value> (property: PropertyInfo) (rows: 'row list) =
        [| for row in rows -> property.GetValue row :?> 'value |]

    let private writeColumn (group: ParquetRowGroupWriter) (property: PropertyInfo) field (rows: 'row list) : Task =
        match property.PropertyType with
        | kind when kind = typeof<string> -> group.WriteAsync(field, values<'row, string> property rows)
        | kind when kind = typeof<int> ->
            group.WriteAsync<int>(field, ReadOnlyMemory(values<'row, int> property rows))
        | _ -> group.WriteAsync<float>(field, ReadOnlyMemory(values<'row, float> property rows))

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
        buffer.ToArray()

    /// <summary>Writes a table, whole or not at all. Throws IOException or UnauthorizedAccessException where it cannot be written.</summary>
    let write path (rows: 'row list) =
        let bytes = encode rows
        AtomicFile.Write(path, (fun stream -> stream.Write(ReadOnlySpan bytes)))

    let private readColumn (group: ParquetRowGroupReader) (property: PropertyInfo) field count : Task<objnull[]> =
        task {
            match property.PropertyType with
            | kind when kind = typeof<string> ->
                let values: string[] = Array.zeroCreate count
                do! group.ReadAsync(field, Memory values)

                if values |> Array.exists (fun value -> Object.ReferenceEquals(value, null)) then
                    raise (InvalidDataException $"a row has no {property.Name}")

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

    let private readGroup<'row> (reader: ParquetReader) most index : Task<'row list> =
        task {
            use group = reader.OpenRowGroupReader index

            if group.RowCount < 0L || group.RowCount > most then
                raise (InvalidDataException $"{group.RowCount} rows cannot be in it")

            let found = ResizeArray()

            for property, field in columns<'row> do
                let! column = readColumn group property field (int group.RowCount)
                found.Add column

            return
                [ for row in 0 .. int group.RowCount - 1 ->
                      FSharpValue.MakeRecord(typeof<'row>, [| for column in found -> column[row] |]) :?> 'row ]
        }

    let private decode<'row> (bytes: byte[]) =
        let work =
            task {
                use stream = new MemoryStream(bytes)
                use! reader = ParquetReader.CreateAsync stream
                let rows = ResizeArray<'row>()

                for index in 0 .. reader.RowGroupCount - 1 do
                    let! more = readGroup<'row> reader (rowsPerByte * int64 bytes.Length - int64 rows.Count) index
                    rows.AddRange more

                return List.ofSeq rows
            }

        work.GetAwaiter().GetResult()

    /// <summary>The table of a file's bytes. Throws InvalidFileException where they are damaged or of other columns.</summary>
    let ofBytes<'row> (path: string) (bytes: byte[]) : 'row list =
        try
            decode<'row> bytes
        with error ->
            // Whatever the library meets in a damaged file: it has no error of its own for that.
            let what = error.Message.Split('\n')[0]
            let what = Quoted.Name what

            raise (
                InvalidFileException(
                    path,
                    "table",
                    $"it cannot be read as columns of telemetry: {what}",
                    "Remove the file: the run does not depend on it"
                )
            )

    /// <summary>The table of a file.</summary>
    /// <remarks>Throws InvalidFileException where it is damaged or of other columns, IOException where it cannot be read.</remarks>
    let read<'row> (path: string) : 'row list = ofBytes<'row> path (File.ReadAllBytes path)
