/// Headers of tar archives that .NET's writer does not write.
module NormFree.Tests.Archives.TarHeaderTests

open System
open System.IO
open System.Text
open Expecto
open NormFree.Archives
open NormFree.Archives.Tar
open NormFree.Formats
open NormFree.Tests
open NormFree.Tests.Data.Support

let private scan (parts: byte[] list) =
    let scan = TarScan(new MemoryStream(Array.concat parts), "x.tar")

    [ while scan.Next() do
          scan.Name, scan.Kind, (if scan.Kind = TarEntryKind.File then scan.Content().Length else 0) ]

/// A header and a content that fills a block.
let private withContent kind (content: string) =
    let block = Array.zeroCreate<byte> 512
    Encoding.ASCII.GetBytes(content).CopyTo(block, 0)
    Array.append (tarHeader "header" (int64 content.Length) kind) block

/// An extended header with one record of less than 100 bytes.
let private extended (record: string) =
    let length = record.Length + 4
    withContent 'x' $"{length:D2} {record}\n"

/// A header with this field of the length.
let private withLength (field: byte[]) =
    let header = tarHeader "x" 0L '0'
    Array.blit field 0 header 124 12
    Array.blit "        "B 0 header 148 8
    let sum = Convert.ToString(Array.sumBy int header, 8).PadLeft(6, '0')
    Array.blit (Encoding.ASCII.GetBytes sum) 0 header 148 6
    header

/// A header of a file whose name has a beginning in a field of its own.
let private withPrefix (start: string) =
    let header = tarHeader "name" 0L '0'
    Array.blit "ustar\00000"B 0 header 257 8
    Array.blit (Encoding.ASCII.GetBytes start) 0 header 345 start.Length
    Array.blit "        "B 0 header 148 8
    let sum = Convert.ToString(Array.sumBy int header, 8).PadLeft(6, '0')
    Array.blit (Encoding.ASCII.GetBytes sum) 0 header 148 6
    header

let private only name kind length = List.singleton ((name: string), (kind: TarEntryKind), (length: int))

let private file = tarHeader "b" 0L '0'

let private rejects words parts = contains words (messageOf<InvalidFileException, _>(fun () -> scan parts))

let tests =
    testList
        "tar headers"
        [ test "an extended header gives the length" {
              let content = Array.zeroCreate<byte> 512
              Expect.equal (scan [ extended "size=5"; file; content; tarEnd ]) (only "b" TarEntryKind.File 5) "entries"
          }

          for size in [ "size=-5"; "size=x" ] do
              test $"{size} is ignored" {
                  Expect.equal (scan [ extended size; file; tarEnd ]) (only "b" TarEntryKind.File 0) "entries"
              }

          for kind in [ 'g'; 'K' ] do
              test $"an entry of type {kind} keeps the extended header of the next one" {
                  let parts = [ extended "path=a"; withContent kind "text"; file; tarEnd ]
                  Expect.equal (scan parts) (only "a" TarEntryKind.File 0) "entries"
              }

          for kind in [ '3'; '4'; '6'; 'M'; 'Q' ] do
              test $"an entry of type {kind} is special, and uses its extended header up" {
                  let parts = [ extended "path=a"; tarHeader "device" 0L kind; file; tarEnd ]
                  Expect.equal (scan parts) [ "a", TarEntryKind.Special, 0; "b", TarEntryKind.File, 0 ] "entries"
              }

          for kind in [ 'V'; 'D'; 'N'; 'X' ] do
              test $"an entry of type {kind} is skipped, and uses its extended header up" {
                  let parts = [ extended "path=a"; tarHeader "label" 0L kind; file; tarEnd ]
                  Expect.equal (scan parts) (only "b" TarEntryKind.File 0) "entries"
              }

          for what, gap in
              [ "joined", tarEnd
                "after one empty block", Array.zeroCreate 512
                "padded", Array.zeroCreate 10240 ] do
              test $"a second archive, {what}, is an error" {
                  rejects [ "more files follow the end mark"; "tar --ignore-zeros" ] [ file; gap; file; tarEnd ]
              }

          for what, rest in [ "nothing", [||]; "zeros", Array.zeroCreate 20_000; "text", Array.create 700 120uy ] do
              test $"{what} after the end mark is ignored" {
                  Expect.equal (scan [ file; tarEnd; rest ]) (only "b" TarEntryKind.File 0) "entries"
              }

          test "a second archive beyond the given length is not searched" {
              let scan = TarScan(new MemoryStream(Array.concat [ file; tarEnd; file; tarEnd ]), "x.tar", 1536L)
              Expect.isTrue (scan.Next()) "the file"
              Expect.isFalse (scan.Next()) "the end"
          }

          for kind in [ '1'; '2'; '5' ] do
              test $"an entry of type {kind} has no content, whatever its length" {
                  Expect.equal (scan [ tarHeader "a" 512L kind; file; tarEnd ]).Length 2 "entries"
              }

          test "a file of an old archive whose name ends with a slash is a folder" {
              Expect.equal (scan [ tarHeader "a/" 0L '\000'; tarEnd ]) (only "a/" TarEntryKind.Folder 0) "entries"
          }

          for record in [ "x"; "5 a"; "2 "; "3  \n"; "999 path=a\n"; "-8 p=a\n"; "8 path=a" ] do
              test $"an extended header is invalid: {Printable.Text record}" {
                  rejects [ "the extended header is invalid" ] [ withContent 'x' record; file; tarEnd ]
              }

          test "a length of almost 2^63 is longer than any file" {
              let field = Array.append [| 0x80uy; 0uy; 0uy; 0uy; 0x7fuy |] (Array.create 7 0xffuy)
              rejects [ "longer than any file" ] [ withLength field; tarEnd ]
          }

          for first in [ 0x81uy; 0xffuy ] do
              test $"a binary length that begins with {first} is invalid" {
                  let field = Array.append [| first |] (Array.zeroCreate 11)
                  rejects [ "expected a tar header" ] [ withLength field; tarEnd ]
              }

          test "a binary length of more than 64 bits is invalid" {
              let field = Array.append [| 0x80uy; 1uy |] (Array.zeroCreate 10)
              rejects [ "expected a tar header" ] [ withLength field; tarEnd ]
          }

          test "a name has its beginning in a field of its own" {
              Expect.equal (scan [ withPrefix "a/b"; tarEnd ]) (only "a/b/name" TarEntryKind.File 0) "entries"
              let long = String('p', 155)
              Expect.equal (scan [ withPrefix long; tarEnd ]) (only (long + "/name") TarEntryKind.File 0) "the longest"
              Expect.equal (scan [ withPrefix ""; tarEnd ]) (only "name" TarEntryKind.File 0) "no beginning"
          }

          test "names of zip entries without a flag are UTF-8, or else of code page 437" {
              Expect.equal (EntryNames.Zip.GetString [| 0xc3uy; 0xa4uy |]) "ä" "UTF-8"
              Expect.equal (EntryNames.Zip.GetString [| 0x84uy |]) "ä" "code page 437"
              Expect.equal (EntryNames.Zip.GetBytes "ä") [| 0xc3uy; 0xa4uy |] "written"
          }

          for first in [ 0x80uy; 0x81uy; 0xffuy ] do
              test $"a checksum that begins with {first} is wrong" {
                  let header = tarHeader "x" 0L '0'
                  header[148] <- first
                  rejects [ "expected a tar header" ] [ header; tarEnd ]
              }

          test "a checksum that is no number is wrong, even if the signed bytes add up to -1" {
              let header = tarHeader "x" 0L '0'
              Array.blit "        "B 0 header 148 8
              let signed () = Array.sumBy (fun (value: byte) -> int (sbyte value)) header

              // Bytes that mean nothing in this header.
              let mutable at = 400

              while signed () > -1 do
                  header[at] <- byte (sbyte (max -128 (-1 - signed ())))
                  at <- at + 1

              Expect.equal (signed ()) -1 "the sum"
              header[148] <- byte '9'
              rejects [ "expected a tar header" ] [ header; tarEnd ]
          }

          for length in [ 600L; 3_000_000_000L; 1L <<< 61 ] do
              test $"a file of {length} bytes that are not there is refused when it is skipped" {
                  let field = Array.append (Array.zeroCreate 4) (Array.rev (BitConverter.GetBytes length))
                  field[0] <- 0x80uy
                  let scan = TarScan(new MemoryStream(Array.append (withLength field) tarEnd[..511]), "x.tar")
                  Expect.isTrue (scan.Next()) "its header"

                  contains
                      [ "the archive ends within a file" ]
                      (messageOf<InvalidFileException, _>(fun () -> scan.Next()))
              }

          test "511 bytes are no tar" {
              Expect.isFalse (TarScan.IsTar(ReadOnlySpan(file, 0, 511))) "511"
              Expect.isTrue (TarScan.IsTar(ReadOnlySpan(file, 0, 512))) "512"
              Expect.isFalse (TarScan.IsTar(ReadOnlySpan(Array.zeroCreate 512))) "zeros"
          } ]
