/// The inputs that coverage-guided fuzzing found, each of which takes branches that smaller ones do not.
module NormFree.Tests.Fuzz.CorpusTests

open System.IO
open Expecto
open NormFree.Fuzz
open NormFree.Tests.Golden

let private folder = Path.Combine(GoldenFiles.repository, "tests", "fixtures", "fuzz")

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
          test "every stored file belongs to a target" {
              let stored = [ for path in Directory.GetFiles(folder, "*.zip") -> Path.GetFileNameWithoutExtension path ]
              Expect.equal (List.sort stored) (List.sort [ for target in Corpus.all -> target.Name ]) "names"
          } ]
