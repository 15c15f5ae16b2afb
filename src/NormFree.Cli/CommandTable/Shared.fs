/// Options that several commands share.
module internal NormFree.Cli.CommandTable.Shared

open NormFree.Cli

let command name about options =
    { Name = name; About = about; Operand = None; Options = options; Required = []; Common = [] }

let network (arch: Opt<string>) =
    [ arch.Spec
      Options.Network.norm.Spec
      Options.Network.shortcut.Spec
      Options.Network.estimator.Spec
      Options.Network.slopes.Spec
      Options.Network.stem.Spec
      Options.Network.width.Spec
      Options.Network.depth.Spec ]

/// What a network is described by, besides its architecture.
let described =
    [ Options.Network.networkFile.Spec
      Options.Network.norm.Spec
      Options.Network.binarise.Spec
      Options.Network.shortcut.Spec
      Options.Network.estimator.Spec
      Options.Network.slopes.Spec
      Options.Network.stem.Spec
      Options.Network.width.Spec
      Options.Network.depth.Spec ]

/// How the files of a data set are read.
let layout =
    [ Options.Data.trainSplit.Spec
      Options.Data.testSplit.Spec
      Options.Data.emnistSplit.Spec
      Options.Data.classNames.Spec
      Options.Data.allowLeftOut.Spec ]

let dataset = [ Options.Data.dataset.Spec; Options.Data.dataPath.Spec ] @ layout

let testImages = dataset @ [ Options.Data.testLimit.Spec; Options.Data.strict.Spec ]

let about sentence option = (Opt.about sentence option).Spec
let defaultsTo text option = (Opt.defaultsTo text option).Spec
let classes10 = Options.Network.classes |> defaultsTo "10"
