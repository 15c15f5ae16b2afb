/// The inputs that coverage-guided fuzzing found, each of which takes branches that smaller ones do not, and JSON that .NET reads only in part.
module NormFree.Tests.Fuzz.CorpusTests

open System
open System.IO
open Expecto
open NormFree.Formats
open NormFree.Fuzz
open NormFree.Tests

let private folder = Path.Combine(repository, "tests", "fixtures", "fuzz")

let private bytes (text: string) = Text.Encoding.UTF8.GetBytes text

/// JSON whose strings .NET cannot decode, or whose fields it cannot list, and which is parsed all the same.
let private halfReadable =
    [ "half of a surrogate pair in a name", """{"\ud800":1}"""
      "half of a surrogate pair in a value",
      """{"Label":"\ud800","Arguments":["\udfff"],"Configuration":[["\ud800","x"]]}"""
      "a field twice", """{"Label":"a","Label":"b","Arguments":[],"Configuration":null,"Places":null,"Finished":true}""" ]

let tests =
    testList
        "fuzzing"
        [ for target in Corpus.all do
              test $"the stored inputs of {target.Name} are read or rejected within bounded memory and time" {
                  let inputs = Corpus.read folder target
                  Expect.isNonEmpty inputs "stored inputs"

                  for bytes in inputs do
                      try
                          Contract.check target bytes
                      with error ->
                          failtestf "input %s: %O" (Corpus.nameOf bytes) error
              }
          for what, text in halfReadable do
              for name in [ "run-json"; "log-jsonl"; "network-json"; "confusion-json" ] do
                  test $"{name} with {what} is rejected" {
                      Expect.throwsT<InvalidFileException> (fun () -> (Corpus.find name).Read(bytes text)) "the reader"
                  }

              test $"a configuration or a checkpoint with {what} is rejected" {
                  Contract.check (Corpus.find "configuration") (bytes text)
                  Contract.check (Corpus.find "checkpoint") (bytes $"{text}\000{text}\000{text}")
              }
          test "every stored file belongs to a target" {
              let stored =
                  [ for path in Directory.GetFiles(folder, "*.zip") -> Path.GetFileNameWithoutExtension path ]

              Expect.equal (List.sort stored) (List.sort [ for target in Corpus.all -> target.Name ]) "names"
          } ]
