import numpy as np
from pathlib import Path
from PIL import Image
from pipelines.scene import read_scene
from train.predict import *
from train.predict import _read_action
from train.answer_picture import draw_prediction
from transforms.prompts import tom_answer, som_answer
from transforms.traces import to_bins
def show(p,name): Image.fromarray(draw_prediction(p)).save(f"/tmp/{name}.png")
rng=np.random.default_rng(0)
s=read_scene("demo/street.mp4","tom",text="a van drives past")
d={m:[tuple(np.clip(np.array(b)+[i,-i//2],0,255).tolist()) for i,b in enumerate(to_bins(w,s.size_wh,256))] for m,w in s.traces.items()}
d.pop(5); d[6]=[(100+i,150-3*i) for i in range(17)]
show(read_answer(s,tom_answer(d)),"tom")
show(read_answer(s,"garbage "*8+"xq"*400),"tombad")
s=read_scene("demo/street.mp4","som")
pl={m.id:tuple((np.array(to_bins([m.xy],s.size_wh,256)[0])+rng.integers(-14,14,2)).clip(0,255).tolist()) for m in s.marks}
show(read_answer(s,som_answer(pl)),"som")
s=read_scene("demo/street.mp4","caption")
show(read_answer(s,"A white van with a pizza on its side drives past a row of houses, and a red car comes towards it."),"caption")
s=read_scene("/tmp/clean.png","click",text="open the pizza van")
show(read_answer(s,"Coordinate: (0.35, 0.77). Mark: 12"),"click")
import json; json.dump([[20,30,120,90],{"box_xyxy":[150,180,330,300],"label":"van"},[380,210,470,290]],open("/tmp/b.json","w"))
s=read_scene("/tmp/clean.png","click",text="open the pizza van",boxes_uri="/tmp/b.json")
show(read_answer(s,"Coordinate: (0.50, 0.77). Mark: 1"),"clickbox")
s=read_scene("/tmp/clean.png","action",text="Pick up the pizza")
show(_read_action(s,[.3,-.5,.01,-1,1,.2,.99],None),"action")
